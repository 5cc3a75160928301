// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

func TestPausesAreJitteredWithinTheirBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: answers{broken(io.EOF)}}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if _, err := newClient(t, s, io.Discard).Resolve(ctx, asked); err == nil {
			t.Fatal("Resolve succeeded without an answer")
		}
		previous, reached, differ := MinDelay, false, 0
		for i := 1; i < len(s.at); i++ {
			pause := s.at[i].Sub(s.at[i-1])
			if upper := min(3*previous, MaxDelay); pause < MinDelay || pause > upper {
				t.Errorf("pause %d is %v, want %v to %v", i, pause, MinDelay, upper)
			}
			if pause > MaxDelay/2 {
				reached = true
			}
			if pause != previous {
				differ++
			}
			previous = pause
		}
		// The mean pause at the ceiling is about half of it.
		if tries := len(s.at); tries < 600/5 || tries > 1200 || !reached || differ < tries/2 {
			t.Errorf("%d tries in ten minutes, pauses grew: %v, %d of them differed from the one before", tries, reached, differ)
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	overloaded := wire.Problem{Code: wire.CodeOverloaded}
	for name, tc := range map[string]struct {
		header      string
		least, most time.Duration
	}{
		"seconds":                    {"7", 7 * time.Second, 7*time.Second + 3*MinDelay},
		"a date":                     {"Sat, 01 Jan 2000 00:00:09 GMT", 9 * time.Second, 9*time.Second + 3*MinDelay}, // the bubble's clock begins with 2000
		"a date that has passed":     {"Sat, 01 Jan 1999 00:00:00 GMT", MinDelay, 3 * MinDelay},
		"nonsense":                   {"soon", MinDelay, 3 * MinDelay},
		"a negative number":          {"-5", MinDelay, 3 * MinDelay},
		"none":                       {"", MinDelay, 3 * MinDelay},
		"longer than the deadline":   {"999", time.Minute, time.Minute},
		"longer than a number holds": {"99999999999999999999", MinDelay, 3 * MinDelay},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: answers{problem(429, overloaded, "Retry-After", tc.header), values(env("A"), env("B"))}}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				_, err := newClient(t, s, io.Discard).Resolve(ctx, asked)
				if took := time.Since(began); took < tc.least || took > tc.most {
					t.Errorf("it took %v, want %v to %v", took, tc.least, tc.most)
				}
				if cut := tc.least == time.Minute; cut != (err != nil) || len(s.at) != map[bool]int{true: 1, false: 2}[cut] {
					t.Errorf("%d tries, error %v", len(s.at), err)
				}
			})
		})
	}
}

func TestDeadlineTellsTheLastAnswerThatWasNotCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: answers{problem(503, wire.Problem{Code: wire.CodeKeyUnavailable}), hang}}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		_, err := newClient(t, s, io.Discard).Resolve(ctx, asked)
		var exhausted *Exhausted
		var refusal *Refusal
		if !errors.As(err, &exhausted) || exhausted.Tries != 2 || !errors.As(err, &refusal) || refusal.Problem.Code != wire.CodeKeyUnavailable {
			t.Errorf("error = %v", err)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("it ended after %v, want the deadline of 5s", took)
		}
	})
}

func TestTryIsGivenUpAfterItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: answers{hang, values(env("A"), env("B"))}}
		if _, err := newClient(t, s, io.Discard).Resolve(t.Context(), asked); err != nil {
			t.Fatal(err)
		}
		if pause := s.at[1].Sub(s.at[0]); pause < TryTimeout+MinDelay || pause > TryTimeout+3*MinDelay {
			t.Errorf("the second try came after %v", pause)
		}
	})
}

func TestCancellationEndsItAtOnce(t *testing.T) {
	for name, a := range map[string]func(*http.Request) (*http.Response, error){
		"during a try":   hang,
		"during a pause": problem(429, wire.Problem{Code: wire.CodeOverloaded}, "Retry-After", "3600"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				began := time.Now()
				_, err := newClient(t, &script{answers: answers{a}}, io.Discard).Resolve(ctx, asked)
				if !errors.Is(err, context.Canceled) || time.Since(began) != time.Second {
					t.Errorf("error = %v after %v, want context.Canceled after 1s", err, time.Since(began))
				}
			})
		})
	}
}

func TestReadBodyLeavesNothingInOutgrownSlices(t *testing.T) {
	want := bytes.Repeat([]byte(canary), 20_000)
	for name, length := range map[string]int64{"known length": int64(len(want)), "unknown length": -1, "wrong length": 10} {
		t.Run(name, func(t *testing.T) {
			spy := &spyReader{r: bytes.NewReader(want)}
			got, err := readBody(spy, length)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("readBody: %d bytes, %v", len(got), err)
			}
			for _, p := range spy.seen {
				if &p[:cap(p)][cap(p)-1] != &got[:cap(got)][cap(got)-1] && bytes.Contains(p, []byte(canary)) {
					t.Error("an outgrown slice kept its content")
				}
			}
		})
	}
}

// spyReader remembers the slices it was given.
type spyReader struct {
	r    io.Reader
	seen [][]byte
}

func (s *spyReader) Read(p []byte) (int, error) {
	s.seen = append(s.seen, p)
	return s.r.Read(p)
}

func TestForeignTextBecomesOneBoundedLine(t *testing.T) {
	got := clean("a\nb\r\x1b[31m\u2028\xff" + strings.Repeat("é", 1000))
	if strings.ContainsAny(got, "\n\r\x1b\u2028\xff") || len(got) > 512 || !strings.HasPrefix(got, "a b  [31m ") {
		t.Errorf("clean() = %q", got)
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, s := range []string{"", "1", "4294967295", "Sat, 01 Jan 2000 00:00:00 GMT", "-1", "1e9"} {
		f.Add(s)
	}
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, header string) {
		if d := parseRetryAfter(header, now); d < 0 || d > 24*time.Hour {
			t.Errorf("parseRetryAfter(%q) = %v", header, d)
		}
	})
}
