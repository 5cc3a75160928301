// SPDX-License-Identifier: Apache-2.0

package store

import (
	"testing"
	"time"
)

func TestUseKeepsASessionAliveUntilItsEnd(t *testing.T) {
	begin := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	s := &session{Session: Session{Meta: Meta{ID: "s", CreatedAt: begin}, ExpiresAt: begin.Add(12 * time.Hour), Idle: time.Hour}}
	for name, tc := range map[string]struct {
		used, at time.Duration // after the beginning; used 0: not used
		lives    bool
	}{
		"a moment after it began":                {0, time.Minute, true},
		"an idle hour after it began":            {0, time.Hour, false},
		"an hour after it began, used meanwhile": {50 * time.Minute, time.Hour, true},
		"an idle hour after it was used":         {50 * time.Minute, 110 * time.Minute, false},
		"at its end, though used":                {12*time.Hour - time.Minute, 12 * time.Hour, false},
		"a use before it began counts for none":  {-time.Hour, 59 * time.Minute, true},
	} {
		m := newImage()
		m.sessions.byID.ReplaceOrInsert(s)
		if tc.used != 0 {
			m.used.ReplaceOrInsert(&sessionUse{id: "s", at: begin.Add(tc.used)})
		}
		if _, ok := m.session("s", begin.Add(tc.at)); ok != tc.lives {
			t.Errorf("%s: it lives: %v", name, ok)
		}
	}
}

func TestAUseIsHandedToTheWriterOnceAMinute(t *testing.T) {
	begin := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	s := new(Store)
	s.seen.init()
	m, used := newImage(), &session{Session: Session{Meta: Meta{ID: "s", CreatedAt: begin}}, Lease: 7}
	for _, tc := range []struct {
		at   time.Duration
		want int
	}{{time.Second, 0}, {time.Minute, 1}, {time.Minute + time.Second, 1}, {2*time.Minute - time.Second, 1}, {2 * time.Minute, 2}} {
		s.noteSessionUse(m, used, begin.Add(tc.at))
		if got := len(s.seen.pending); got != tc.want {
			t.Errorf("after %s: %d uses to write, want %d", tc.at, got, tc.want)
		}
	}
	if use := <-s.seen.pending; use.id != "s" || use.lease != 7 || !use.at.Equal(begin.Add(time.Minute)) {
		t.Errorf("got %+v", use)
	}
	// What another replica wrote is known here too.
	m.used.ReplaceOrInsert(&sessionUse{id: "s", at: begin.Add(10 * time.Minute)})
	s.noteSessionUse(m, used, begin.Add(10*time.Minute+time.Second))
	if got := len(s.seen.pending); got != 1 {
		t.Errorf("%d uses to write", got)
	}
}
