// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/audit"
)

// MaxAdministrators bounds how many administrators an installation has.
const MaxAdministrators = 100

// Administrator makes a principal an administrator of the installation.
type Administrator struct {
	Meta
	Principal string `json:"principal"` // as a member's; compared byte for byte, never changes
}

// BootstrapEnd says when the bootstrap token ended, and whose first request as an administrator ended it.
type BootstrapEnd struct {
	At time.Time `json:"at"`
	By string    `json:"by"` // principal
}

// Administration is what is known of the administrators of the installation.
type Administration struct {
	Administrator bool          // the principal asked about is one
	BootstrapEnd  *BootstrapEnd // nil while the bootstrap token counts
}

// AddAdministrator makes a principal an administrator. It returns a [FieldError] or [ErrExists].
func (s *Store) AddAdministrator(ctx context.Context, act Act, principal string) (Administrator, error) {
	a := Administrator{Meta: act.meta(), Principal: principal}
	if err := checkPrincipal(principal); err != nil {
		return Administrator{}, err
	}
	rev, err := s.mutateOnce(ctx, act, installation, func(m *image) (*change, error) {
		if _, err := m.administrator(s.space, principal); !errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("administrator %q: %w", principal, taken(err))
		}
		if m.administrators.Len() >= MaxAdministrators {
			return nil, invalid("/principal", "too_many", "an installation may have %d administrators", MaxAdministrators)
		}
		ch := s.administratorChange(act, audit.AdministratorAdd, a, 0)
		return ch, s.puts(ch, record{s.space.administrator(principal), kindAdministrator, a})
	}, &a)
	if err != nil {
		return Administrator{}, fmt.Errorf("adding administrator: %w", err)
	}
	a.Revision = rev
	return a, nil
}

// RemoveAdministrator ends a principal's being an administrator, from the next request on. It returns [ErrNotFound], a [ConflictError], or [ErrLastAdministrator] if no
// other would be left and the bootstrap token has ended.
func (s *Store) RemoveAdministrator(ctx context.Context, act Act, principal string, expect int64) error {
	_, err := s.mutate(ctx, installation, func(m *image) (*change, error) {
		old, err := m.administrator(s.space, principal)
		if err != nil {
			return nil, err
		}
		if err := old.expect(expect); err != nil {
			return nil, err
		}
		end, err := m.bootstrapEnd(s.space)
		if err != nil {
			return nil, err
		}
		if end != nil && m.administrators.Len() == 1 {
			return nil, ErrLastAdministrator
		}
		ch := s.administratorChange(act, audit.AdministratorRemove, *old, old.Revision)
		ch.ops = []clientv3.Op{clientv3.OpDelete(s.space.administrator(principal))}
		return ch, nil
	})
	if err != nil {
		return fmt.Errorf("removing administrator: %w", err)
	}
	return nil
}

// administratorChange begins a change of an administrator that is now at revision rev, 0 for a new one.
func (s *Store) administratorChange(act Act, action audit.Action, a Administrator, rev int64) *change {
	ch := &change{
		compares: []clientv3.Cmp{exists(s.space.administrator(a.Principal), rev)},
		event:    act.event("", action),
	}
	ch.event.ResourceKind, ch.event.ResourceID, ch.event.ResourceName = "administrator", a.ID, a.Principal
	return ch
}

// EndBootstrap ends the bootstrap token, on every replica and for good, if principal is an administrator and a person ("user:…") when the transaction is made. Else it
// changes nothing, as when the token has ended before.
func (s *Store) EndBootstrap(ctx context.Context, act Act, principal string) error {
	_, err := s.mutate(ctx, installation, func(m *image) (*change, error) {
		if end, err := m.bootstrapEnd(s.space); err != nil || end != nil {
			return nil, err
		}
		a, err := m.administrator(s.space, principal)
		switch {
		case errors.Is(err, ErrNotFound) || err == nil && !strings.HasPrefix(principal, "user:"):
			return nil, nil
		case err != nil:
			return nil, err
		}
		key := s.space.bootstrap()
		ch := &change{
			// The administrator is compared too: a token must not end with somebody whose removal came first.
			compares: []clientv3.Cmp{absent(key), exists(s.space.administrator(principal), a.Revision)},
			event:    act.event("", audit.BootstrapEnd),
		}
		ch.event.ResourceKind, ch.event.ResourceName = "bootstrap_token", "bootstrap"
		return ch, s.puts(ch, record{key, kindBootstrap, BootstrapEnd{At: now(), By: principal}})
	})
	if err != nil {
		return fmt.Errorf("ending bootstrap token: %w", err)
	}
	return nil
}

// Administration says whether a principal is an administrator, and whether the bootstrap token has ended. Like every read it knows of each change that was
// acknowledged before it began. It returns [ErrIntegrity] if the record of the bootstrap token's end does not verify: that is no reason to accept it.
func (s *Store) Administration(ctx context.Context, principal string) (Administration, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return Administration{}, err
	}
	end, err := m.bootstrapEnd(s.space)
	if err != nil {
		return Administration{}, fmt.Errorf("bootstrap token: %w", err)
	}
	_, err = m.administrator(s.space, principal) // a record that does not verify makes nobody an administrator
	return Administration{Administrator: err == nil, BootstrapEnd: end}, nil
}

// BootstrapEnded reports whether the bootstrap token has ended as far as this replica knows, without asking etcd: for metrics, not for decisions.
func (s *Store) BootstrapEnded() bool { return s.image().end != nil }

// Administrator returns an administrator by principal or id.
func (s *Store) Administrator(ctx context.Context, principalOrID string) (Administrator, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return Administrator{}, err
	}
	a, err := m.findAdministrator(s.space, principalOrID)
	if err != nil {
		return Administrator{}, fmt.Errorf("administrator: %w", err)
	}
	return *a, nil
}

// Administrators lists administrators by principal.
func (s *Store) Administrators(ctx context.Context, q Query) (Page[Administrator], error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return Page[Administrator]{}, err
	}
	return list(s, administratorNames{m.administrators}, "", kindAdministrator, q, func(i index) (Administrator, bool) {
		a, err := m.administrator(s.space, i.name)
		if err != nil {
			return Administrator{}, false
		}
		return *a, true
	})
}
