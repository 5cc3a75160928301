// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
)

// SecretNames returns the names of secrets of an organization by their ids, soft-deleted ones included, for one read of the store whatever their number.
// Ids of secrets that do not exist, or whose records do not verify, are left out.
func (s *Store) SecretNames(ctx context.Context, orgID string, ids []string) (map[string]string, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return nil, err
	}
	names := make(map[string]string, len(ids))
	for _, id := range ids {
		secret, err := m.secret(s.space, orgID, id)
		switch {
		case err == nil:
			names[id] = secret.Name
		case !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrIntegrity):
			return nil, fmt.Errorf("naming secret: %w", err)
		}
	}
	return names, nil
}
