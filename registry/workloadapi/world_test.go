// SPDX-License-Identifier: Apache-2.0

package workloadapi_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-dev/lanyard/internal/logtest"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn"
	"github.com/lanyard-dev/lanyard/registry/authn/authntest"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/workloadapi"
)

const canary = "cAnArY-5f1e"

// view is a store with the consumer shop/web of one organization, which billing/api of cluster main may claim. Each of its ENVs E0, E1 … is the local
// secret s0, s1 ….
type view struct{ envs int }

func (v view) FindConsumer(org, name string) (store.Consumer, error) {
	if org != "shop" || name != "web" {
		return store.Consumer{}, store.ErrNotFound
	}
	c := store.Consumer{Meta: store.Meta{ID: "c1"}, OrgID: "o1", Name: "web", Bindings: []store.Binding{{Cluster: "main", Namespace: "billing", ServiceAccount: "api"}}}
	for i := range v.envs {
		c.Envs = append(c.Envs, store.Env{Name: envNames[i], SecretID: secretIDs[i]})
	}
	return c, nil
}

func (v view) FindSecret(orgID, id string) (store.Secret, error) {
	return store.Secret{Meta: store.Meta{ID: id}, OrgID: orgID, Name: id, Storage: store.StorageLocal, ActiveVersion: 3}, nil
}

func (v view) FindSecretByName(string, string) (store.Secret, error) {
	return store.Secret{}, store.ErrNotFound
}

func (v view) OpenVersion(_, id string, _ uint64) (redact.Value, error) {
	return redact.New([]byte(canary + id)), nil
}

var (
	envNames  = []string{"E0", "E1", "E2", "E3", "E4", "E5", "E6", "E7", "E8", "E9"}
	secretIDs = []string{"s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9"}
)

// trail is an audit log in memory.
type trail struct {
	mu     sync.Mutex
	events []audit.Event
	err    error
}

func (l *trail) Record(_ context.Context, events ...audit.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.events = append(l.events, events...)
	}
	return l.err
}

func (l *trail) recorded() []audit.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.events
}

// world is a workload API with everything around it in memory.
type world struct {
	cluster *authntest.Cluster
	trail   *trail
	logs    *logtest.Buffer
	metrics *prometheus.Registry
	config  workloadapi.Config
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{cluster: authntest.New(t), trail: &trail{}, logs: new(logtest.Buffer), metrics: prometheus.NewRegistry()}
	api, err := authn.Dial(w.cluster.Client())
	if err != nil {
		t.Fatal(err)
	}
	authenticator, err := authn.New(authn.Config{API: api, Cluster: "main", InjectorNamespace: "lanyard", InjectorServiceAccount: "lanyard-injector"})
	if err != nil {
		t.Fatal(err)
	}
	denied := audit.NewDenials(w.trail.Record, nil)
	w.config = workloadapi.Config{
		Authenticator: authenticator, Resolver: newResolver(t, view{10}, w.trail, denied), Denied: denied, Cluster: "main",
		Logger: slog.New(slog.NewJSONHandler(w.logs, nil)), Registerer: w.metrics,
		Names: func(context.Context) <-chan workloadapi.Change { return nil },
	}
	return w
}

func newResolver(t testing.TB, v resolve.View, log resolve.Auditor, denied resolve.Denier) *resolve.Resolver {
	t.Helper()
	r, err := resolve.New(resolve.Config{View: func(context.Context) (resolve.View, error) { return v, nil }, Audit: log, Denied: denied})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (w *world) handler(t testing.TB) http.Handler {
	t.Helper()
	h, err := workloadapi.New(w.config)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// body asks for the first n ENVs of shop/web.
func body(n int) string {
	return `{"protocol":1,"containers":[{"name":"app","consumer":"shop/web","delivery":"envfile","envs":["` + strings.Join(envNames[:n], `","`) + `"]}]}`
}

func request(token, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, wire.ResolvePath, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func do(h http.Handler, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func read(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
