// SPDX-License-Identifier: Apache-2.0

// Package providertest is what every provider must do. [Run] drives a provider through a [provider.Manager], as the resolver does.
package providertest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Harness is a server with a provider for it. What a server cannot be made to do is nil, and the rows that need it are not run.
type Harness struct {
	Type   provider.Type
	Host   provider.Host
	Record provider.Record // with credentials that may read everything Path returns
	// Path returns the path of a secret of that name.
	Path func(name string) string
	// Put writes or replaces a secret: a JSON object.
	Put func(t *testing.T, path, object string)
	// Bytes says that the server keeps each value of an object as bytes: there is no null, and what is not a string is kept as its JSON.
	Bytes bool
	// Text says that the server keeps objects as the text they are written in.
	Text bool
	// Denied is a path that exists and that the credentials may not read.
	Denied string
	// Throttle makes the server ask for fewer requests; Break makes it answer with errors of its own or not at all; Stall makes it accept requests and not answer. Each returns
	// what undoes it.
	Throttle, Break, Stall func(t *testing.T) (undo func())
	// EndTokens makes the server forget every token that logins gave.
	EndTokens func(t *testing.T)
}

type suite struct {
	Harness
	manager *provider.Manager
}

// record is the one provider there is.
func (s *suite) record(context.Context, string, string) (provider.Record, error) {
	return s.Harness.Record, nil
}

type records func(context.Context, string, string) (provider.Record, error)

func (records) All(context.Context) ([]provider.Key, error) { return nil, nil }

func (r records) Record(ctx context.Context, orgID, providerID string) (provider.Record, error) {
	return r(ctx, orgID, providerID)
}

// Run runs every row with a harness of its own, which open returns and which ends with the test.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	rows := map[string]func(*suite, *testing.T){
		"values come as they are":                              (*suite).values,
		"what is missing is told apart":                        (*suite).missing,
		"a denied path is denied":                              (*suite).denied,
		"a path outside the prefixes is denied":                (*suite).prefix,
		"a replaced value is read by the next fetch":           (*suite).fresh,
		"a rate limit is throttled and passes":                 (*suite).throttled,
		"a broken server is unavailable and recovers":          (*suite).broken,
		"a silent server is unavailable in time":               (*suite).stalled,
		"a fetch ends when its caller gives up":                (*suite).cancelled,
		"a token that ends mid-flight is replaced":             (*suite).expired,
		"many at once all get the value":                       (*suite).concurrent,
		"check tells good credentials from a record unusable":  (*suite).check,
		"a wrong reference is invalid before anybody is asked": (*suite).reference,
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			s := &suite{Harness: open(t)}
			s.manage(t, 20*time.Second) // more than an answer takes on a machine that does much else
			row(s, t)
		})
	}
}

// manage opens the provider anew, with a bound for each fetch.
func (s *suite) manage(t *testing.T, timeout time.Duration) {
	t.Helper()
	m, err := provider.NewManager(provider.Config{Records: records(s.record), Types: []provider.Type{s.Type}, Host: s.Host, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	s.manager = m
}

func (s *suite) fetch(ctx context.Context, path, key string) (string, error) {
	v, err := s.manager.Fetch(ctx, "org", store.Remote{ProviderID: s.Harness.Record.ID, Path: path, Key: key})
	return string(v.Reveal()), err
}

// wants fails the test unless err is an *provider.Error of the kind.
func wants(t *testing.T, err error, kind provider.Kind) *provider.Error {
	t.Helper()
	e, ok := errors.AsType[*provider.Error](err)
	if !ok || e.Kind != kind {
		t.Fatalf("error = %v, want kind %v", err, kind)
	}
	return e
}

func (s *suite) values(t *testing.T) {
	huge := strings.Repeat("x", wire.MaxValueBytes)
	binary := base64.StdEncoding.EncodeToString([]byte{0, 1, 0xff, 0xfe})
	object := fmt.Sprintf(`{"text":"p@ss","empty":"","spaces":"  a\tb \r\n","quotes":"'\"$\\","unicode":"grüße 🔑","escaped":"\ud83d\udd11\u0000","number":9007199254740991,"float":1.50,"true":true,"null":null,"object":{"a":[1,2]},"list":["x"],"binary":%q,"huge":%q}`, binary, huge)
	path := s.Path("values")
	s.Put(t, path, object)
	for key, want := range map[string]string{
		"text": "p@ss", "empty": "", "spaces": "  a\tb \r\n", "quotes": `'"$\`, "unicode": "grüße 🔑", "escaped": "🔑\x00",
		"number": "9007199254740991", "true": "true", "object": `{"a":[1,2]}`, "list": `["x"]`, "binary": binary, "huge": huge,
	} {
		if got, err := s.fetch(t.Context(), path, key); err != nil || got != want {
			t.Errorf("%s = %.40q, %v; want %.40q", key, got, err, want)
		}
	}
	if !s.Bytes {
		_, err := s.fetch(t.Context(), path, "null")
		_ = wants(t, err, provider.KindInvalid)
	}

	small, written := s.Path("small"), `{ "user": "u",  "port": 5432 }`
	s.Put(t, small, written)
	want := []string{`{"user":"u","port":5432}`, `{"port":5432,"user":"u"}`}
	switch {
	case s.Bytes:
		want = []string{`{"port":"5432","user":"u"}`}
	case s.Text:
		want = []string{written}
	}
	if whole, err := s.fetch(t.Context(), small, ""); err != nil || !slices.Contains(want, whole) {
		t.Errorf("the whole secret = %q, %v", whole, err)
	}
	over := s.Path("over")
	s.Put(t, over, fmt.Sprintf(`{"over":"%sx"}`, huge))
	_, err := s.fetch(t.Context(), over, "over")
	_ = wants(t, err, provider.KindUnrepresentable)
}

func (s *suite) missing(t *testing.T) {
	_, err := s.fetch(t.Context(), s.Path("nothing-here"), "key")
	if e := wants(t, err, provider.KindNotFound); e.Reason != provider.ReasonPath || e.Provider != s.Harness.Record.Name {
		t.Errorf("missing path: reason %q of provider %q", e.Reason, e.Provider)
	}
	s.Put(t, s.Path("one"), `{"a":"1"}`)
	_, err = s.fetch(t.Context(), s.Path("one"), "b")
	if e := wants(t, err, provider.KindNotFound); e.Reason != provider.ReasonKey || e.Provider != s.Harness.Record.Name {
		t.Errorf("missing key: reason %q of provider %q", e.Reason, e.Provider)
	}
}

func (s *suite) denied(t *testing.T) {
	_, err := s.fetch(t.Context(), s.Denied, "a")
	_ = wants(t, err, provider.KindDenied)
}

func (s *suite) prefix(t *testing.T) {
	s.Harness.Record.AllowedPrefixes = []string{s.Path("prod")}
	s.Put(t, s.Path("prod/db"), `{"a":"1"}`)
	s.Put(t, s.Path("production"), `{"a":"2"}`)
	if got, err := s.fetch(t.Context(), s.Path("prod/db"), "a"); err != nil || got != "1" {
		t.Errorf("allowed path: %q, %v", got, err)
	}
	_, err := s.fetch(t.Context(), s.Path("production"), "a")
	if e := wants(t, err, provider.KindDenied); e.Reason != provider.ReasonPrefix {
		t.Errorf("reason %q", e.Reason)
	}
}

func (s *suite) fresh(t *testing.T) {
	path := s.Path("fresh")
	for i := range 5 {
		want := fmt.Sprint("v", i)
		s.Put(t, path, fmt.Sprintf(`{"a":%q}`, want))
		if got, err := s.fetch(t.Context(), path, "a"); err != nil || got != want {
			t.Fatalf("after writing %q: %q, %v", want, got, err)
		}
	}
}

func (s *suite) throttled(t *testing.T) {
	if s.Throttle == nil {
		return
	}
	s.Put(t, s.Path("a"), `{"a":"1"}`)
	undo := s.Throttle(t)
	err := s.until(t, func(err error) bool { return err != nil })
	_ = wants(t, err, provider.KindThrottled)
	undo()
	_ = s.until(t, func(err error) bool { return err == nil })
}

func (s *suite) broken(t *testing.T) {
	if s.Break == nil {
		return
	}
	s.Put(t, s.Path("a"), `{"a":"1"}`)
	undo := s.Break(t)
	_, err := s.fetch(t.Context(), s.Path("a"), "a")
	_ = wants(t, err, provider.KindUnavailable)
	undo()
	_ = s.until(t, func(err error) bool { return err == nil })
}

// until fetches until the outcome is as wanted: the way back of a server takes as long as it takes.
func (s *suite) until(t *testing.T, wanted func(error) bool) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		_, err := s.fetch(ctx, s.Path("a"), "a")
		if wanted(err) {
			return err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("still %v", err)
		case <-poll.C:
		}
	}
}

func (s *suite) stalled(t *testing.T) {
	if s.Stall == nil {
		return
	}
	s.Put(t, s.Path("a"), `{"a":"1"}`)
	s.manage(t, 2*time.Second)
	undo := s.Stall(t)
	began := time.Now()
	_, err := s.fetch(t.Context(), s.Path("a"), "a")
	if e := wants(t, err, provider.KindUnavailable); e.Reason != provider.ReasonTimeout || time.Since(began) > 4*time.Second {
		t.Errorf("reason %q after %v, want timeout after 2s", e.Reason, time.Since(began))
	}
	undo()
	_ = s.until(t, func(err error) bool { return err == nil })
}

func (s *suite) cancelled(t *testing.T) {
	if s.Stall == nil {
		return
	}
	s.Put(t, s.Path("a"), `{"a":"1"}`)
	defer s.Stall(t)()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := s.fetch(ctx, s.Path("a"), "a")
	_ = wants(t, err, provider.KindUnavailable)
	if took := time.Since(began); took > time.Second {
		t.Errorf("returned after %v", took)
	}
}

func (s *suite) expired(t *testing.T) {
	if s.EndTokens == nil {
		return
	}
	s.Put(t, s.Path("a"), `{"a":"1"}`)
	for i := range 3 {
		if got, err := s.fetch(t.Context(), s.Path("a"), "a"); err != nil || got != "1" {
			t.Fatalf("fetch %d: %q, %v", i, got, err)
		}
		s.EndTokens(t)
	}
}

func (s *suite) concurrent(t *testing.T) {
	const paths, each = 8, 25
	for i := range paths {
		s.Put(t, s.Path(fmt.Sprint("c", i)), fmt.Sprintf(`{"a":"value %d"}`, i))
	}
	var all sync.WaitGroup
	for i := range paths * each {
		all.Go(func() {
			want := fmt.Sprint("value ", i%paths)
			if got, err := s.fetch(t.Context(), s.Path(fmt.Sprint("c", i%paths)), "a"); err != nil || got != want {
				t.Errorf("fetch %d: %q, %v", i, got, err)
			}
		})
	}
	all.Wait()
}

func (s *suite) check(t *testing.T) {
	if err := s.manager.Check(t.Context(), "org", s.Harness.Record.ID); err != nil {
		t.Error(err)
	}
	if err := s.manager.Try(t.Context(), s.Harness.Record); err != nil {
		t.Error(err)
	}
	bad := s.Harness.Record
	bad.Config = []byte(`{"address":"https://user:p@127.0.0.1"}`)
	_ = wants(t, s.manager.Validate(bad), provider.KindInvalid)
}

func (s *suite) reference(t *testing.T) {
	for _, path := range []string{"", "\x00", s.Path("a") + "\n"} {
		_, err := s.fetch(t.Context(), path, "a")
		_ = wants(t, err, provider.KindInvalid)
	}
}
