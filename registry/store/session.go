// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/subtle"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/audit"
)

// Limits of sessions.
const (
	// MaxSessions is how many sessions a principal has at most; signing in once more ends the oldest.
	MaxSessions    = 32
	MaxSessionLife = 31 * 24 * time.Hour
	maxSessionText = 256 // bytes of each text that came from outside; what is longer is cut
)

// SessionKind says how the text of a session is presented. A session of one kind is not accepted as one of another.
type SessionKind string

// The kinds of sessions.
const (
	SessionBrowser SessionKind = "browser" // in a cookie
	SessionCLI     SessionKind = "cli"     // as a bearer token
)

// Session lets a person who signed in call the administrators' API. Its text is not stored and not reachable from here. It never changes; it is revoked by
// deleting it, and gone when it ends.
type Session struct {
	Meta
	Principal string      `json:"principal"` // "user:<issuer>#<subject>"
	Kind      SessionKind `json:"kind"`
	// Email is empty unless the provider said that it had verified it. Email and Name are for people: nothing is decided by them once the session exists.
	Email    string `json:"email,omitempty"`
	Name     string `json:"name,omitempty"`
	Client   string `json:"client,omitempty"` // the program that signed in, as it calls itself
	SourceIP string `json:"source_ip,omitempty"`
	// It ends at ExpiresAt, and when it was not used for Idle.
	ExpiresAt time.Time     `json:"expires_at"`
	Idle      time.Duration `json:"idle"`
	// LastUsedAt is exact to about [SessionUseGrain]. It is kept apart from the record.
	LastUsedAt time.Time `json:"-"`
}

// CreateSession creates a session from everything in n but Meta and LastUsedAt. hash is called once, with the new session's id, and returns the SHA-256 of the text
// its holder will send.
func (s *Store) CreateSession(ctx context.Context, act Act, n Session, hash func(id string) [32]byte) (Session, error) {
	made, err := s.createSession(ctx, act, n, hash, func(*change) error { return nil })
	if err != nil {
		return Session{}, fmt.Errorf("creating session: %w", err)
	}
	return made, nil
}

// createSession has more say what else the transaction compares and writes.
func (s *Store) createSession(ctx context.Context, act Act, n Session, hash func(id string) [32]byte, more func(*change) error) (Session, error) {
	n.Meta, n.ExpiresAt = act.meta(), n.ExpiresAt.UTC().Truncate(time.Millisecond)
	for _, text := range []*string{&n.Email, &n.Name, &n.Client, &n.SourceIP} {
		*text = cut(*text)
	}
	n.LastUsedAt = n.CreatedAt
	if err := checkSession(n); err != nil {
		return Session{}, err
	}
	lease, err := s.grant(ctx, n.ExpiresAt.Sub(n.CreatedAt))
	if err != nil {
		return Session{}, err
	}
	sum := hash(n.ID)
	rev, err := s.mutate(ctx, installation, func(m *image) (*change, error) {
		key := s.space.session(n.ID)
		ch := s.sessionChange(act, audit.SessionCreate, n)
		ch.compares = []clientv3.Cmp{absent(key)}
		sealed, err := seal(s.keys, key, kindSession, session{n, sum[:], int64(lease)})
		if err != nil {
			return nil, err
		}
		ch.ops = []clientv3.Op{clientv3.OpPut(key, sealed, clientv3.WithLease(lease))}
		if have := m.sessionsOf(n.Principal, n.CreatedAt); len(have) >= MaxSessions {
			for _, old := range have[:len(have)-MaxSessions+1] {
				ch.ops = append(ch.ops, s.dropSession(old.ID)...)
			}
		}
		return ch, more(ch)
	})
	if err != nil {
		return Session{}, err
	}
	n.Revision = rev
	return n, nil
}

// RevokeSession ends a session of a principal: no replica accepts it in a request that begins afterwards. It returns [ErrNotFound], also for a session of
// somebody else.
func (s *Store) RevokeSession(ctx context.Context, act Act, principal, id string) error {
	_, err := s.mutate(ctx, installation, func(m *image) (*change, error) {
		found, ok := m.session(id, now())
		if !ok || found.Principal != principal {
			return nil, ErrNotFound
		}
		ch := s.sessionChange(act, audit.SessionRevoke, found.Session)
		ch.compares = []clientv3.Cmp{exists(s.space.session(id), found.Revision)}
		ch.ops = s.dropSession(id)
		return ch, nil
	})
	if err != nil {
		return fmt.Errorf("revoking session: %w", err)
	}
	return nil
}

func (s *Store) dropSession(id string) []clientv3.Op {
	return []clientv3.Op{clientv3.OpDelete(s.space.session(id)), clientv3.OpDelete(s.space.sessionUse(id))}
}

func (s *Store) sessionChange(act Act, action audit.Action, n Session) *change {
	ch := &change{event: act.event("", action)}
	ch.event.ResourceKind, ch.event.ResourceID, ch.event.ResourceName = "session", n.ID, n.Principal
	return ch
}

// grant returns a lease that ends with a session. It only tidies up: that a session has ended is decided by its record.
func (s *Store) grant(ctx context.Context, life time.Duration) (clientv3.LeaseID, error) {
	limited, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	resp, err := s.client.Grant(limited, int64(life/time.Second)+1)
	if err != nil {
		return 0, etcdError(ctx, err)
	}
	return resp.ID, nil
}

// VerifySession returns the session with this id if sum is the hash it was created with and it has not ended, and notes that it was used. Everything else is
// [ErrNotFound]: which it was is not told. Like every read it knows of each revocation that was acknowledged before it began.
func (s *Store) VerifySession(ctx context.Context, id string, sum [32]byte) (Session, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return Session{}, err
	}
	at := now()
	found, ok := m.session(id, at)
	if !ok || subtle.ConstantTimeCompare(found.Hash, sum[:]) != 1 {
		return Session{}, ErrNotFound
	}
	s.noteSessionUse(m, found, at)
	return m.told(found), nil
}

// Session returns a session of a principal.
func (s *Store) Session(ctx context.Context, principal, id string) (Session, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return Session{}, err
	}
	found, ok := m.session(id, now())
	if !ok || found.Principal != principal {
		return Session{}, fmt.Errorf("session: %w", ErrNotFound)
	}
	return m.told(found), nil
}

// Sessions returns the sessions of a principal that have not ended, the newest first. There are no more than [MaxSessions].
func (s *Store) Sessions(ctx context.Context, principal string) ([]Session, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return nil, err
	}
	var list []Session
	for _, found := range m.sessionsOf(principal, now()) {
		list = append(list, m.told(found))
	}
	slices.Reverse(list)
	return list, nil
}

// told is what callers are told of a session.
func (m *image) told(s *session) Session {
	t := s.Session
	t.LastUsedAt = m.lastUse(s)
	return t
}

func checkSession(n Session) error {
	if n.Kind != SessionBrowser && n.Kind != SessionCLI {
		return invalid("/kind", "unknown", "it must be browser or cli")
	}
	if err := checkPrincipal(n.Principal); err != nil {
		return err
	}
	if life := n.ExpiresAt.Sub(n.CreatedAt); life <= 0 || life > MaxSessionLife || n.Idle <= 0 {
		return invalid("/expires_at", "range", "a session lives for a month at most")
	}
	return nil
}

// cut shortens a text to what is kept of it, between two characters.
func cut(text string) string {
	for len(text) > maxSessionText {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}
