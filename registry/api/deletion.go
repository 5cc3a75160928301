// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// ListDeletions implements ginapi.StrictServerInterface.
func (s *server) ListDeletions(ctx context.Context, _ ginapi.ListDeletionsRequestObject) (ginapi.ListDeletionsResponseObject, error) {
	deletions, err := s.store.Deletions(ctx)
	if err != nil {
		return nil, err
	}
	return ginapi.ListDeletions200JSONResponse{Items: each(deletions, func(d store.Deletion) contract.Deletion {
		return contract.Deletion{OrganizationID: d.OrgID, Slug: d.Slug, DeletedAt: d.At, DeletedBy: d.By, Leases: d.Leases, Until: d.Until}
	})}, nil
}
