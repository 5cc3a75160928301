// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// passing is a provider that is read with the pod's identity: each reads his own name.
type passing struct {
	mu      sync.Mutex
	reads   []string // the token of each
	readers int
	closed  int
	fail    error
}

type passingReader struct {
	server *passing
	token  string
}

func (p *passing) Read(context.Context, Ref) (Document, error) { return Document{}, PodRequired() }
func (p *passing) Check(context.Context) error                 { return nil }
func (p *passing) Close() error                                { return nil }
func (p *passing) As(token redact.Value) Reader {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readers++
	return &passingReader{p, string(token.Reveal())}
}

func (r *passingReader) Read(context.Context, Ref) (Document, error) {
	r.server.mu.Lock()
	r.server.reads = append(r.server.reads, r.token)
	err := r.server.fail
	r.server.mu.Unlock()
	if err != nil {
		return Document{}, err
	}
	time.Sleep(time.Second)
	return NewDocument(fmt.Appendf(nil, `{"a":%q,"b":"2"}`, "of "+r.token))
}

func (r *passingReader) Close() error {
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	r.server.closed++
	return nil
}

func newPassing(t *testing.T, p *passing, keep time.Duration) *Manager {
	t.Helper()
	f := &fake{record: map[string]Record{"p1": {ID: "p1", Name: "own", Type: "passing", Revision: 1, LastKnownGood: keep}}}
	kind := Type{Name: "passing", Validate: func(Record, Host) error { return nil }, Path: func(path, version string) (Ref, error) { return Ref{path, version}, nil },
		Audience: func(json.RawMessage) string { return "vault" }, Open: func(Record, Host) (Provider, error) { return p, nil }}
	m, err := NewManager(Config{Records: f, Types: []Type{kind}, Host: Host{Egress: &egress.Guard{}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func pod(token string) Tokens { return Tokens{"vault": redact.New([]byte(token))} }

func TestNoPodSharesAReadWithAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &passing{}
		m := newPassing(t, p, time.Hour)
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				who := fmt.Sprint("pod-", i)
				batch := m.Begin(nil).For(pod(who))
				defer batch.End()
				for _, key := range []string{"a", "b"} {
					got, err := batch.Fetch(t.Context(), "org", store.Remote{ProviderID: "p1", Path: "kv/x", Key: key})
					if err != nil {
						t.Error(err)
						return
					}
					if key == "a" && string(got.Value.Reveal()) != "of "+who {
						t.Errorf("%s got the value %q", who, got.Value.Reveal())
					}
					if got.Source != (Source{}) {
						t.Error("what one pod may read would be kept for others")
					}
				}
			})
		}
		all.Wait()
		synctest.Wait()
		if len(p.reads) != 20 || p.readers != 20 || p.closed != 20 {
			t.Errorf("%d reads through %d logins, of which %d were ended; want 20 of each", len(p.reads), p.readers, p.closed)
		}
	})
}

func TestWhoHasNoTokenIsToldWhatToDo(t *testing.T) {
	m := newPassing(t, &passing{}, 0)
	for name, tc := range map[string]struct {
		tokens Tokens
		reason Reason
		says   string
	}{
		"nobody":                      {nil, ReasonPodRequired, "pod"},
		"a pod of before":             {Tokens{}, ReasonPodToken, "recreate the pod"},
		"a pod of another's audience": {Tokens{"elsewhere": redact.New([]byte("x"))}, ReasonPodToken, `"vault"`},
	} {
		batch := m.Begin(nil).For(tc.tokens)
		_, err := batch.Fetch(t.Context(), "org", store.Remote{ProviderID: "p1", Path: "kv/x", Key: "a"})
		batch.End()
		if e := asError(err); e.Kind != KindDenied || e.Reason != tc.reason || !strings.Contains(e.Message, tc.says) || e.Provider != "own" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAPodThatIsRefusedSaysNothingOfTheProvider(t *testing.T) {
	p := &passing{fail: &Error{Kind: KindDenied, Reason: ReasonCredentials, Message: "no"}}
	m := newPassing(t, p, 0)
	for range 2 * breakAfter {
		batch := m.Begin(nil).For(pod("stranger"))
		if _, err := batch.Fetch(t.Context(), "org", store.Remote{ProviderID: "p1", Path: "kv/x", Key: "a"}); asError(err).Reason != ReasonCredentials {
			t.Fatal(err)
		}
		batch.End()
	}
	if h := m.Health("org", "p1"); h.Status != StatusUnknown {
		t.Errorf("a refused pod made the provider %s", h.Status)
	}
}
