// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/lanyard-dev/lanyard/registry/audit"
)

// Limits of one batch, which is one transaction. etcd allows 128 operations in one, of which a new secret takes three and four are for the whole; and 1.5 MiB,
// of which what is around the values takes up to a quarter.
const (
	MaxBatch      = 40
	MaxBatchBytes = 1 << 20 // of all values together
)

// Existing says what becomes of a secret in a batch whose name is taken.
type Existing string

// The ways with taken names.
const (
	ExistingFail Existing = "fail" // the batch is refused
	ExistingSkip Existing = "skip" // the secret stays as it is
	ExistingPut  Existing = "put"  // the value becomes its next version; a remote or deleted secret refuses the batch
)

// BatchAction is what became of one secret of a batch.
type BatchAction string

// The actions.
const (
	BatchCreated   BatchAction = "created"
	BatchUpdated   BatchAction = "updated"
	BatchUnchanged BatchAction = "unchanged"
	BatchSkipped   BatchAction = "skipped"
	BatchRefused   BatchAction = "refused"
)

// BatchResult is what became of one secret of a batch, or would.
type BatchResult struct {
	Name    string      `json:"name"`
	Action  BatchAction `json:"action"`
	ID      string      `json:"id,omitempty"`
	Version uint64      `json:"version,omitempty"`
	Reason  string      `json:"reason,omitempty"` // of a refusal
}

// RefusedError lists the secrets that keep a batch from being written. It wraps [ErrExists].
type RefusedError struct{ Refused []BatchResult }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%v: %d secrets of the batch", ErrExists, len(e.Refused))
}
func (e *RefusedError) Unwrap() error { return ErrExists }

// PutSecrets creates local secrets, or puts versions of those there are, as existing says: all of it in one transaction, or nothing. Of each only Name,
// Description, Labels and Value count; those of a secret that exists stay, but for the value. It returns a [FieldError] whose pointer begins with /secrets, a
// [RefusedError], or [ErrNotFound] for the organization. The caller keeps the values and may wipe them afterwards.
func (s *Store) PutSecrets(ctx context.Context, act Act, orgID string, secrets []NewSecret, existing Existing) ([]BatchResult, error) {
	if err := checkBatch(secrets); err != nil {
		return nil, err
	}
	var results []BatchResult
	_, err := s.mutateOnce(ctx, act, orgID, func(m *image) (*change, error) {
		if _, err := m.org(s.space, orgID); err != nil {
			return nil, fmt.Errorf("organization: %w", err)
		}
		var err error
		if results, err = s.planBatch(m, orgID, secrets, existing); err != nil {
			return nil, err
		}
		if refused := refusedOf(results); refused != nil {
			return nil, &RefusedError{refused}
		}
		var whole *change
		for i := range secrets {
			ch, err := s.putOfBatch(m, act, orgID, secrets[i], &results[i])
			if err != nil {
				return nil, err
			}
			whole = whole.with(ch)
		}
		return whole, nil
	}, &results)
	if err != nil {
		return nil, fmt.Errorf("putting secrets: %w", err)
	}
	return results, nil
}

// PlanSecrets says what [Store.PutSecrets] would do with as many secrets as one likes, and does nothing. It does not tell whether a value is the active one: who tries
// values must leave a trace.
func (s *Store) PlanSecrets(ctx context.Context, orgID string, secrets []NewSecret, existing Existing) ([]BatchResult, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := m.org(s.space, orgID); err != nil {
		return nil, fmt.Errorf("organization: %w", err)
	}
	return s.planBatch(m, orgID, secrets, existing)
}

func (s *Store) planBatch(m *image, orgID string, secrets []NewSecret, existing Existing) ([]BatchResult, error) {
	results := make([]BatchResult, len(secrets))
	for i, n := range secrets {
		r := BatchResult{Name: n.Name}
		there, err := m.secretByName(s.space, orgID, n.Name)
		switch {
		case errors.Is(err, ErrNotFound):
			r.Action = BatchCreated
		case err != nil:
			return nil, fmt.Errorf("secret %q: %w", n.Name, err)
		case existing == ExistingSkip:
			r.Action, r.ID, r.Version = BatchSkipped, there.ID, there.ActiveVersion
		case there.DeletedAt != nil:
			r.Action, r.Reason = BatchRefused, "it is deleted, and keeps its name; undelete it first"
		case existing == ExistingPut && there.Storage == StorageLocal:
			r.Action, r.ID = BatchUpdated, there.ID
		case existing == ExistingPut:
			r.Action, r.Reason = BatchRefused, "it is remote and has no value here"
		default:
			r.Action, r.Reason = BatchRefused, "it exists"
		}
		results[i] = r
	}
	return results, nil
}

// putOfBatch makes the change of one secret as planned, nil if there is nothing to do.
func (s *Store) putOfBatch(m *image, act Act, orgID string, n NewSecret, r *BatchResult) (*change, error) {
	switch r.Action {
	case BatchCreated:
		secret := Secret{Meta: act.meta(), OrgID: orgID, Name: n.Name, Description: n.Description, Labels: maps.Clone(n.Labels), Storage: StorageLocal}
		if n.Value != nil {
			secret.ActiveVersion, secret.LastVersion = 1, 1
		}
		r.ID, r.Version = secret.ID, secret.ActiveVersion
		return s.addSecret(act, secret, n.Value)
	case BatchUpdated:
		old, err := m.secret(s.space, orgID, r.ID)
		if err != nil {
			return nil, err
		}
		secret := old.clone()
		if n.Value == nil {
			r.Action, r.Version = BatchUnchanged, secret.ActiveVersion
			return nil, nil
		}
		ch, v, err := s.addVersion(m, act, &secret, *n.Value, true, nil)
		if err != nil {
			return nil, err
		}
		r.Version = v.Number
		if ch == nil {
			r.Action = BatchUnchanged
			return nil, nil
		}
		return ch, s.puts(ch, record{s.space.secret(orgID, secret.ID), kindSecret, secret})
	}
	return nil, nil
}

func refusedOf(results []BatchResult) []BatchResult {
	refused := slices.DeleteFunc(slices.Clone(results), func(r BatchResult) bool { return r.Action != BatchRefused })
	if len(refused) == 0 {
		return nil
	}
	return refused
}

// CheckSecrets reports the first rule that secrets of a batch, or of several, break by themselves, as a [FieldError] whose pointer begins with /secrets.
func CheckSecrets(secrets []NewSecret) error {
	seen := make(map[string]bool, len(secrets))
	for i, n := range secrets {
		n.Storage = n.storage()
		err := checkNewSecret(n)
		if err == nil && n.Storage != StorageLocal {
			err = invalid("/storage", "remote", "a batch holds local secrets")
		}
		if err == nil && seen[n.Name] {
			err = invalid("/name", "duplicate", "%q is there twice", n.Name)
		}
		if broken, ok := errors.AsType[*FieldError](err); ok {
			return &FieldError{fmt.Sprintf("/secrets/%d%s", i, broken.Pointer), broken.Code, broken.Message}
		}
		if err != nil {
			return err
		}
		seen[n.Name] = true
	}
	return nil
}

func checkBatch(secrets []NewSecret) error {
	size := 0
	for _, n := range secrets {
		if n.Value != nil {
			size += len(n.Value.Reveal())
		}
	}
	switch {
	case len(secrets) == 0 || len(secrets) > MaxBatch:
		return invalid("/secrets", "range", "a batch has 1 to %d secrets", MaxBatch)
	case size > MaxBatchBytes:
		return invalid("/secrets", "too_long", "the values of a batch may have %d bytes together", MaxBatchBytes)
	}
	return CheckSecrets(secrets)
}

// Batches splits secrets, in their order, into as few batches as there can be.
func Batches(secrets []NewSecret) [][]NewSecret {
	var batches [][]NewSecret
	start, size := 0, 0
	for i, n := range secrets {
		have := 0
		if n.Value != nil {
			have = len(n.Value.Reveal())
		}
		if i > start && (i-start == MaxBatch || size+have > MaxBatchBytes) {
			batches = append(batches, secrets[start:i])
			start, size = i, 0
		}
		size += have
	}
	return append(batches, secrets[start:])
}

// with adds another change to c; either may be nil.
func (c *change) with(other *change) *change {
	if c == nil || other == nil {
		if c == nil {
			return other
		}
		return c
	}
	c.compares, c.ops = append(c.compares, other.compares...), append(c.ops, other.ops...)
	c.more, c.adds = append(c.more, other.event), c.adds.plus(other.adds)
	return c
}

// events are the audit events of a change.
func (c *change) events() []audit.Event { return append([]audit.Event{c.event}, c.more...) }
