// SPDX-License-Identifier: Apache-2.0

package workloadapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn"
	"github.com/lanyard-dev/lanyard/registry/authn/authntest"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/workloadapi"
)

// namesView has the secret s1, whose version 2 is active, cannot be delivered by env file, and whose version 1 can.
type namesView struct{}

func (namesView) Secret(_, id string) (store.Secret, bool) {
	return store.Secret{ActiveVersion: 2}, id == "s1"
}

func (namesView) Version(_, id string, n uint64) (store.Version, bool) {
	if id != "s1" || n != 2 {
		return store.Version{Number: n}, n == 1
	}
	return store.Version{Number: 2, NoEnvfile: "it contains a single quote"}, true
}

func (namesView) FindProvider(string, string) (store.Provider, error) {
	return store.Provider{}, store.ErrNotFound
}

// pipes is a listener whose connections are in memory, which lets a whole http.Server live in virtual time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error { close(p.closed); return nil }
func (*pipes) Addr() net.Addr { return &net.TCPAddr{} }

// feed is a names stream in virtual time: a server with the timeouts of the real one, and one client's connection to it.
type feed struct {
	changes chan workloadapi.Change
	drain   chan struct{}
	ended   chan struct{} // closed when the watch's context ends
	fixed   *fixed
	server  *http.Server
	conn    net.Conn
	lines   *bufio.Reader
}

func newFeed(t *testing.T) *feed {
	t.Helper()
	f := &feed{changes: make(chan workloadapi.Change, 16), drain: make(chan struct{}), ended: make(chan struct{}), fixed: &fixed{}}
	h, err := workloadapi.New(workloadapi.Config{
		Authenticator: f.fixed, Resolver: f.fixed, Denied: audit.NewDenials((&trail{}).Record, nil), Cluster: "main", Drain: f.drain, Streams: 1,
		Audience: func(p store.Provider) string { return "audience-of-" + p.Type },
		Names: func(ctx context.Context) <-chan workloadapi.Change {
			context.AfterFunc(ctx, func() { close(f.ended) })
			return f.changes
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	l := &pipes{make(chan net.Conn), make(chan struct{})}
	f.server = &http.Server{Handler: h, ReadTimeout: 10 * time.Second, WriteTimeout: 15 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = f.server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = f.server.Close()
		<-done
	})
	f.conn = f.dial(l)
	f.lines = bufio.NewReader(f.conn)
	return f
}

func (f *feed) dial(l *pipes) net.Conn {
	client, server := net.Pipe()
	l.conns <- server
	return client
}

// open sends the request and reads the head of the answer.
func (f *feed) open(t *testing.T) *http.Response {
	t.Helper()
	if _, err := fmt.Fprintf(f.conn, "GET %s HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer x\r\n\r\n", wire.NamesPath); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(f.lines, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.lines = bufio.NewReader(answer.Body)
	return answer
}

func (f *feed) next(t *testing.T) wire.NamesEvent {
	t.Helper()
	line, err := f.lines.ReadBytes('\n')
	if err != nil {
		t.Fatalf("reading the stream: %v", err)
	}
	var e wire.NamesEvent
	if err := json.Unmarshal(line, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

func consumer() *store.Consumer {
	quote := "it's"
	plain := "info"
	return &store.Consumer{OrgID: "o1", Name: "web",
		Envs:       []store.Env{{Name: "PLAIN", Value: &plain}, {Name: "QUOTE", Value: &quote}, {Name: "ACTIVE", SecretID: "s1"}, {Name: "PINNED", SecretID: "s1", Version: 1}, {Name: "GONE", SecretID: "s2"}},
		Bindings:   []store.Binding{{Cluster: "main", Namespace: "billing", ServiceAccount: "api"}, {Cluster: "edge", Namespace: "billing", ServiceAccount: "api"}},
		Deliveries: []wire.Delivery{wire.DeliveryExec},
	}
}

func TestTheInjectorFollowsNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t)
		web := ref.Consumer{Org: "shop", Name: "web"}
		f.changes <- workloadapi.Change{Ref: web, OrgID: "o1", Consumer: consumer(), View: namesView{}}
		f.changes <- workloadapi.Change{Secret: ref.Secret{Org: "shop", Name: "stripe"}, OrgID: "o1", View: namesView{},
			Granted: &store.Secret{Meta: store.Meta{ID: "s1"}, ActiveVersion: 2, Grants: consumer().Bindings}}
		f.changes <- workloadapi.Change{Synced: true}
		answer := f.open(t)
		if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "application/x-ndjson" || answer.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("status %d, headers %v", answer.StatusCode, answer.Header)
		}
		want := wire.NamesEvent{Type: wire.NamesPut, Consumer: &wire.ConsumerNames{Ref: "shop/web",
			Envs: []wire.EnvName{{Name: "PLAIN"}, {Name: "QUOTE", NoEnvfile: "it contains a single quote"},
				{Name: "ACTIVE", NoEnvfile: "it contains a single quote"}, {Name: "PINNED"}, {Name: "GONE"}},
			Bindings: []wire.Binding{{Namespace: "billing", ServiceAccount: "api"}}, Deliveries: []wire.Delivery{wire.DeliveryExec},
		}}
		if diff := cmp.Diff(want, f.next(t)); diff != "" {
			t.Errorf("first event (-want +got):\n%s", diff)
		}
		want = wire.NamesEvent{Type: wire.NamesPutSecret, Secret: &wire.SecretNames{Ref: "shop/stripe", NoEnvfile: "it contains a single quote",
			Grants: []wire.Binding{{Namespace: "billing", ServiceAccount: "api"}}}}
		if diff := cmp.Diff(want, f.next(t)); diff != "" {
			t.Errorf("second event (-want +got):\n%s", diff)
		}
		if e := f.next(t); e.Type != wire.NamesSynced {
			t.Errorf("third event = %+v, want synced", e)
		}

		// A quarter of an hour of silence outlives every timeout of the server, and no silence is longer than promised.
		last := time.Now()
		for start := last; time.Since(start) < 15*time.Minute; {
			if e := f.next(t); e.Type != wire.NamesPing {
				t.Fatalf("event = %+v, want a ping", e)
			}
			if silence := time.Since(last); silence > wire.NamesPingInterval {
				t.Fatalf("%v of silence", silence)
			}
			last = time.Now()
		}
		f.changes <- workloadapi.Change{Ref: web, OrgID: "o1"}
		if diff := cmp.Diff(wire.NamesEvent{Type: wire.NamesDelete, Consumer: &wire.ConsumerNames{Ref: "shop/web"}}, f.next(t)); diff != "" {
			t.Errorf("delete (-want +got):\n%s", diff)
		}

		f.changes <- workloadapi.Change{Secret: ref.Secret{Org: "shop", Name: "stripe"}, OrgID: "o1"}
		if diff := cmp.Diff(wire.NamesEvent{Type: wire.NamesDeleteSecret, Secret: &wire.SecretNames{Ref: "shop/stripe"}}, f.next(t)); diff != "" {
			t.Errorf("delete (-want +got):\n%s", diff)
		}

		close(f.drain)
		if _, err := f.lines.ReadBytes('\n'); err == nil {
			t.Error("the stream went on after the drain")
		}
		<-f.ended
	})
}

func TestNamesOverHTTP2(t *testing.T) {
	w := newWorld(t)
	changes := make(chan workloadapi.Change, 2)
	changes <- workloadapi.Change{Ref: ref.Consumer{Org: "shop", Name: "web"}, OrgID: "o1", Consumer: consumer(), View: namesView{}}
	changes <- workloadapi.Change{Synced: true}
	w.config.Names = func(context.Context) <-chan workloadapi.Change { return changes }
	w.cluster.AddAccount("lanyard", "lanyard-injector")
	w.cluster.AddPod("lanyard", "injector", "lanyard-injector", "node-1")
	server := httptest.NewUnstartedServer(w.handler(t))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+wire.NamesPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.cluster.Sign(authntest.Token{Namespace: "lanyard", Account: "lanyard-injector", Pod: "injector"}))
	answer, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.ProtoMajor != 2 || answer.StatusCode != http.StatusOK {
		t.Fatalf("HTTP/%d, status %d", answer.ProtoMajor, answer.StatusCode)
	}
	lines := bufio.NewScanner(answer.Body)
	for _, want := range []string{`"type":"put"`, `"type":"synced"`} {
		if !lines.Scan() || !strings.Contains(lines.Text(), want) {
			t.Fatalf("line = %q, want %s: %v", lines.Text(), want, lines.Err())
		}
	}
	close(changes) // the watch breaks: the stream ends instead of falling silent
	if lines.Scan() {
		t.Errorf("a line after the end: %q", lines.Text())
	}
}

func TestAStreamDoesNotLiveForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t)
		f.open(t)
		start := time.Now()
		for {
			if _, err := f.lines.ReadBytes('\n'); err != nil {
				break
			}
		}
		if lived := time.Since(start); lived < 48*time.Minute || lived > 72*time.Minute {
			t.Errorf("the stream lived %v, want an hour give or take a fifth", lived)
		}
	})
}

func TestADeadClientIsDropped(t *testing.T) {
	for name, kill := range map[string]func(*feed){
		"it takes nothing":  func(*feed) {},
		"it hung up":        func(f *feed) { _ = f.conn.Close() },
		"the watch breaks":  func(f *feed) { close(f.changes) },
		"the server closes": func(f *feed) { _ = f.server.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFeed(t)
				f.open(t)
				start := time.Now()
				kill(f)
				<-f.ended
				if took := time.Since(start); took > wire.NamesPingInterval+3*wire.NamesPingInterval {
					t.Errorf("the stream ended after %v", took)
				}
				_ = f.conn.Close()
			})
		})
	}
}

func TestAStreamThatCannotBeginSaysWhy(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*feed)
		want   wire.Code
	}{
		"a workload": {func(f *feed) {
			f.fixed.authErr = &authn.Error{Code: wire.CodeUnauthenticated, Message: "m", Reason: authn.NotInjector}
		}, wire.CodeUnauthenticated},
		"no API server": {func(f *feed) { f.fixed.authErr = &authn.Error{Code: wire.CodeAuthUnavailable, Message: "m"} }, wire.CodeAuthUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFeed(t)
				tc.change(f)
				if p := problem(t, f.open(t)); p.Code != tc.want {
					t.Errorf("problem = %+v", p)
				}
			})
		})
	}
}

// metric returns one counter of a vector by the values of its labels, in the order of their names.
func metric(t *testing.T, w *world, name string, labels ...string) prometheus.Collector {
	t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "found"})
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if f.GetName() == name && slices.Equal(values, labels) {
				counter.Add(m.GetCounter().GetValue())
			}
		}
	}
	return counter
}
