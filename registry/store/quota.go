// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
)

// ErrQuota means that an organization would have more than it may. Nothing was changed; see [QuotaError].
var ErrQuota = errors.New("quota exceeded")

// Quota bounds what an organization may have. 0 is no bound. Deleted secrets and destroyed versions count as secrets and versions until they are purged.
type Quota struct {
	Secrets  int64 `json:"secrets,omitempty"`
	Versions int64 `json:"versions,omitempty"` // of all secrets together
	Bytes    int64 `json:"bytes,omitempty"`    // of all values together, encrypted: each takes about a hundred bytes more than it has
}

// QuotaError says which quota is in the way. It wraps [ErrQuota].
type QuotaError struct {
	Of                string // "secrets", "versions" or "bytes"
	Limit, Have, More int64
}

func (e *QuotaError) Error() string {
	return fmt.Sprintf("%v: %d %s and %d more, of %d", ErrQuota, e.Have, e.Of, e.More, e.Limit)
}
func (e *QuotaError) Unwrap() error { return ErrQuota }

// plus adds what another change adds.
func (q Quota) plus(other Quota) Quota {
	return Quota{q.Secrets + other.Secrets, q.Versions + other.Versions, q.Bytes + other.Bytes}
}

// checkQuota reports which quota of an organization a change would exceed that adds something. What adds nothing of a kind is never refused for it, however
// far the organization is beyond a quota that was lowered.
func (s *Store) checkQuota(m *image, orgID string, adds Quota) error {
	if adds == (Quota{}) {
		return nil
	}
	o, err := m.org(s.space, orgID)
	if err != nil || o.Quota == (Quota{}) {
		return nil //nolint:nilerr // a change in no organization adds nothing to one
	}
	have := m.usage(orgID)
	for _, q := range []QuotaError{
		{"secrets", o.Quota.Secrets, have.Secrets, adds.Secrets},
		{"versions", o.Quota.Versions, have.Versions, adds.Versions},
		{"bytes", o.Quota.Bytes, have.Bytes, adds.Bytes},
	} {
		if q.Limit > 0 && q.More > 0 && q.Have+q.More > q.Limit {
			return &q
		}
	}
	return nil
}

// usage counts what an organization has. It looks at every secret and version: only organizations with a quota pay for it.
func (m *image) usage(orgID string) Quota {
	var have Quota
	m.secrets.AscendGreaterOrEqual(&Secret{OrgID: orgID}, func(secret *Secret) bool {
		if secret.OrgID != orgID {
			return false
		}
		have.Secrets++
		m.versions.AscendGreaterOrEqual(&sealedVersion{secret: secret.ID}, func(v *sealedVersion) bool {
			if v.secret != secret.ID {
				return false
			}
			have.Versions++
			have.Bytes += int64(len(v.sealed))
			return true
		})
		return true
	})
	return have
}

func checkQuotaFields(q Quota) error {
	if q.Secrets < 0 || q.Versions < 0 || q.Bytes < 0 {
		return invalid("/quota", "range", "a quota is a positive number, or 0 for none")
	}
	return nil
}
