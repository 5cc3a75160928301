// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"strings"
	"time"
	"unique"

	"k8s.io/utils/third_party/forked/golang/btree"
)

// sessions is the part of an image that says who is signed in. The second tree is derived from the first.
type sessions struct {
	byID        *btree.BTree[*session]
	byPrincipal *btree.BTree[*session]    // by principal, id
	used        *btree.BTree[*sessionUse] // by id
}

// session is a session as it is stored.
type session struct {
	Session
	Hash  []byte `json:"hash"`  // SHA-256 of the text its holder has
	Lease int64  `json:"lease"` // of etcd, which removes the session's keys when it ends
}

// sessionUse says when a session was used last. It is written without the tip: knowing it late by a moment changes nothing.
type sessionUse struct {
	id  string
	at  time.Time
	rev int64
}

func newSessions() sessions {
	return sessions{
		byID:        btree.New(degree, func(a, b *session) bool { return a.ID < b.ID }),
		byPrincipal: btree.New(degree, func(a, b *session) bool { return less(a.Principal, a.ID, b.Principal, b.ID) }),
		used:        btree.New(degree, func(a, b *sessionUse) bool { return a.id < b.id }),
	}
}

func (s sessions) clone() sessions {
	return sessions{s.byID.Clone(), s.byPrincipal.Clone(), s.used.Clone()}
}

// size is how many keys of etcd it stands for.
func (s sessions) size() int { return s.byID.Len() + s.used.Len() }

func sessionAt(id string) *session { return &session{Session: Session{Meta: Meta{ID: id}}} }

func (e *edit) loadSession(key string, a address, value []byte, rev int64) error {
	s := new(session)
	if err := unseal(e.keys, key, a.kind, value, s); err != nil {
		return err
	}
	if s.ID != a.id {
		return fmt.Errorf("%w: %w", ErrIntegrity, errMisplaced)
	}
	s.settle(rev)
	s.Principal, s.Kind = unique.Make(s.Principal).Value(), unique.Make(s.Kind).Value()
	e.removeSession(a)
	e.sessions.byID.ReplaceOrInsert(s)
	e.sessions.byPrincipal.ReplaceOrInsert(s)
	return nil
}

func (e *edit) removeSession(a address) {
	if s, ok := e.sessions.byID.Delete(sessionAt(a.id)); ok {
		e.sessions.byPrincipal.Delete(s)
	}
}

func (e *edit) loadSessionUse(key string, a address, value []byte, rev int64) error {
	u := &sessionUse{id: strings.Clone(a.id), rev: rev} // a.id would keep the whole key
	if err := unseal(e.keys, key, a.kind, value, &u.at); err != nil {
		return err
	}
	e.used.ReplaceOrInsert(u)
	return nil
}

// lastUse is when a session was used last as far as the image knows, when it began if it knows of no use.
func (m *image) lastUse(s *session) time.Time {
	if u, ok := m.used.Get(&sessionUse{id: s.ID}); ok && u.at.After(s.CreatedAt) {
		return u.at
	}
	return s.CreatedAt
}

// session returns a session that has not ended at a time.
func (m *image) session(id string, at time.Time) (*session, bool) {
	s, ok := m.sessions.byID.Get(sessionAt(id))
	return s, ok && m.lives(s, at)
}

func (m *image) lives(s *session, at time.Time) bool {
	return at.Before(s.ExpiresAt) && at.Before(m.lastUse(s).Add(s.Idle))
}

// sessionsOf returns the sessions of a principal that have not ended at a time, the oldest first.
func (m *image) sessionsOf(principal string, at time.Time) []*session {
	var found []*session
	m.sessions.byPrincipal.AscendGreaterOrEqual(&session{Session: Session{Principal: principal}}, func(s *session) bool {
		if s.Principal != principal {
			return false
		}
		if m.lives(s, at) {
			found = append(found, s)
		}
		return true
	})
	return found
}
