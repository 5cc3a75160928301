// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/audit"
)

// Lifetimes of API tokens: what one gets that asks for none, and the most there is.
const (
	DefaultTokenLife = 90 * 24 * time.Hour
	MaxTokenLife     = 366 * 24 * time.Hour // a year, also one with a leap day
)

// APIToken is a credential of one organization for a program. Its text is not stored and not reachable from here. It never changes; it is revoked by
// deleting it.
type APIToken struct {
	Meta
	OrgID     string    `json:"org_id"`
	Name      string    `json:"name"` // see ref.CheckName; unique in the organization
	Role      Role      `json:"role"`
	ExpiresAt time.Time `json:"expires_at"`
	// LastUsedAt is within about [TokenUseGrain] of its last use; nil before the first. It is kept apart from the record and only set by [Store.APIToken] and
	// [Store.APITokens].
	LastUsedAt *time.Time `json:"-"`
}

// CreateAPIToken creates a token from Name, Role and ExpiresAt; other fields are ignored, and a zero ExpiresAt means [DefaultTokenLife]. hash is called
// once, with the new token's id, and returns the SHA-256 of the text that its holder will send. It returns a [FieldError], [ErrExists], or [ErrNotFound]
// for the organization.
func (s *Store) CreateAPIToken(ctx context.Context, act Act, orgID string, t APIToken, hash func(id string) [32]byte) (APIToken, error) {
	t = APIToken{Meta: act.meta(), OrgID: orgID, Name: t.Name, Role: t.Role, ExpiresAt: t.ExpiresAt.UTC().Truncate(time.Millisecond)}
	if t.ExpiresAt.IsZero() {
		t.ExpiresAt = t.CreatedAt.Add(DefaultTokenLife)
	}
	if err := checkAPIToken(t); err != nil {
		return APIToken{}, err
	}
	sum := hash(t.ID)
	rev, err := s.mutateOnce(ctx, act, orgID, func(m *image) (*change, error) {
		if _, err := m.org(s.space, orgID); err != nil {
			return nil, fmt.Errorf("organization: %w", err)
		}
		if _, err := m.findAPIToken(s.space, orgID, t.Name); !errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("API token %q: %w", t.Name, taken(err))
		}
		ch := s.tokenChange(act, audit.TokenCreate, t, 0)
		return ch, s.puts(ch, record{s.space.apiToken(orgID, t.Name), kindAPIToken, token{t, sum[:]}})
	}, &t)
	if err != nil {
		return APIToken{}, fmt.Errorf("creating API token: %w", err)
	}
	t.Revision = rev
	return t, nil
}

// DeleteAPIToken revokes a token: no replica accepts it in a request that begins afterwards. It returns [ErrNotFound] or a [ConflictError].
func (s *Store) DeleteAPIToken(ctx context.Context, act Act, orgID, id string, expect int64) error {
	_, err := s.mutate(ctx, orgID, func(m *image) (*change, error) {
		t, err := m.findAPIToken(s.space, orgID, id)
		if err != nil {
			return nil, err
		}
		if err := t.expect(expect); err != nil {
			return nil, err
		}
		ch := s.tokenChange(act, audit.TokenRevoke, t.APIToken, t.Revision)
		ch.ops = []clientv3.Op{clientv3.OpDelete(s.space.apiToken(orgID, t.Name)), clientv3.OpDelete(s.space.tokenUse(orgID, t.ID))}
		return ch, nil
	})
	if err != nil {
		return fmt.Errorf("revoking API token: %w", err)
	}
	return nil
}

// tokenChange begins a change of a token that is now at revision rev, 0 for a new one.
func (s *Store) tokenChange(act Act, action audit.Action, t APIToken, rev int64) *change {
	ch := &change{
		compares: []clientv3.Cmp{exists(s.space.apiToken(t.OrgID, t.Name), rev)},
		event:    act.event(t.OrgID, action),
	}
	ch.event.ResourceKind, ch.event.ResourceID, ch.event.ResourceName = "api_token", t.ID, t.Name
	return ch
}

// VerifyAPIToken returns the token with this id if sum is the hash it was created with and it has not expired, and notes that it was used. Everything else
// is [ErrNotFound]: which it was is not told. Like every read it knows of each revocation that was acknowledged before it began.
func (s *Store) VerifyAPIToken(ctx context.Context, id string, sum [32]byte) (APIToken, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return APIToken{}, err
	}
	t, ok := m.tokenIDs.Get(&token{APIToken: APIToken{Meta: Meta{ID: id}}})
	if !ok || subtle.ConstantTimeCompare(t.Hash, sum[:]) != 1 || !now().Before(t.ExpiresAt) {
		return APIToken{}, ErrNotFound
	}
	if _, err := m.org(s.space, t.OrgID); err != nil {
		return APIToken{}, ErrNotFound
	}
	s.noteTokenUse(t.APIToken)
	return t.APIToken, nil
}

// APIToken returns a token by name or id.
func (s *Store) APIToken(ctx context.Context, orgID, nameOrID string) (APIToken, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return APIToken{}, err
	}
	found, err := m.findAPIToken(s.space, orgID, nameOrID)
	if err != nil {
		return APIToken{}, fmt.Errorf("API token: %w", err)
	}
	page := []APIToken{found.APIToken}
	s.setTokenUses(ctx, orgID, page)
	return page[0], nil
}

// APITokens lists tokens by name, expired ones included.
func (s *Store) APITokens(ctx context.Context, orgID string, q Query) (Page[APIToken], error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return Page[APIToken]{}, err
	}
	page, err := list(s, tokenNames{m.tokens}, orgID, kindAPIToken, q, func(i index) (APIToken, bool) {
		t, err := m.findAPIToken(s.space, orgID, i.name)
		if err != nil {
			return APIToken{}, false
		}
		return t.APIToken, true
	})
	if err != nil {
		return Page[APIToken]{}, err
	}
	s.setTokenUses(ctx, orgID, page.Items)
	return page, nil
}

func checkAPIToken(t APIToken) error {
	return firstOf(
		func() error { return checkName(t.Name) },
		func() error { return checkRole(t.Role) },
		func() error {
			switch {
			case !t.ExpiresAt.After(t.CreatedAt):
				return invalid("/expires_at", "range", "it must lie in the future")
			case t.ExpiresAt.Sub(t.CreatedAt) > MaxTokenLife:
				return invalid("/expires_at", "range", "an API token lives for a year at most")
			}
			return nil
		},
	)
}
