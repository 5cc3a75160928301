// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
)

const canary = "cAnArY-5f1e"

// world is a store, an audit log and a provider in memory. It hands out copies of its values, and keeps them to see that they were wiped.
type world struct {
	consumers map[string]store.Consumer
	secrets   map[string]store.Secret // :: org id + "/" + id → secret
	values    map[string]string       // :: org id + "/" + id + "@" + version → value
	openErr   map[string]error        // :: as consumers, secrets or values → what reading it fails with
	viewErr   error
	auditErr  error
	fetch     func(ctx context.Context, orgID string, r store.Remote) (redact.Value, error)

	mu       sync.Mutex
	opened   []redact.Value
	events   []audit.Event
	denied   []audit.Event
	leased   bool // what every fetched value is
	lastGood time.Time
	ended    []bool // how the fetches of each request ended
}

func (w *world) FindConsumer(org, name string) (store.Consumer, error) {
	c, ok := w.consumers[org+"/"+name]
	if !ok {
		return store.Consumer{}, store.ErrNotFound
	}
	return c, w.openErr[org+"/"+name]
}

func (w *world) FindSecret(orgID, id string) (store.Secret, error) {
	s, ok := w.secrets[orgID+"/"+id]
	if !ok {
		return store.Secret{}, store.ErrNotFound
	}
	return s, w.openErr[orgID+"/"+id]
}

func (w *world) FindSecretByName(org, name string) (store.Secret, error) {
	id := map[string]string{"shop": "o1", "other": "o2"}[org]
	for key, s := range w.secrets {
		if s.OrgID == id && s.Name == name {
			return s, w.openErr[key]
		}
	}
	return store.Secret{}, store.ErrNotFound
}

func (w *world) OpenVersion(orgID, id string, n uint64) (redact.Value, error) {
	key := fmt.Sprintf("%s/%s@%d", orgID, id, n)
	if err := w.openErr[key]; err != nil {
		return redact.Value{}, err
	}
	v, ok := w.values[key]
	if !ok {
		return redact.Value{}, store.ErrNotFound
	}
	return w.hand(v), nil
}

func (w *world) hand(v string) redact.Value {
	w.mu.Lock()
	defer w.mu.Unlock()
	value := redact.New([]byte(v))
	w.opened = append(w.opened, value)
	return value
}

func (w *world) Fetch(ctx context.Context, secret store.Secret) (resolve.Fetched, error) {
	v, err := w.fetch(ctx, secret.OrgID, *secret.Remote)
	return resolve.Fetched{Value: v, Leased: w.leased, LastKnownGood: w.lastGood}, err
}

func (w *world) End(delivered bool) { w.ended = append(w.ended, delivered) }

func (w *world) Record(_ context.Context, events ...audit.Event) error {
	if w.auditErr != nil {
		return w.auditErr
	}
	w.events = append(w.events, events...)
	return nil
}

type denier struct{ *world }

func (d denier) Record(_ context.Context, events ...audit.Event) {
	d.denied = append(d.denied, events...)
}

func (w *world) resolver(t testing.TB) *resolve.Resolver {
	t.Helper()
	config := resolve.Config{
		View:  func(context.Context) (resolve.View, error) { return w, w.viewErr },
		Audit: w, Denied: denier{w},
	}
	if w.fetch != nil {
		config.Fetch = func(resolve.Call) resolve.Fetcher { return w }
	}
	r, err := resolve.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func ptr(s string) *string { return &s }

// newWorld has the organization shop (id o1) with the consumer web, which billing/api of cluster main may claim, and other (id o2) with the consumer theirs.
func newWorld() *world {
	bound := []store.Binding{{Cluster: "main", Namespace: "billing", ServiceAccount: "api"}}
	local := func(org, id, name string, active uint64) store.Secret {
		return store.Secret{Meta: store.Meta{ID: id}, OrgID: org, Name: name, Storage: store.StorageLocal, ActiveVersion: active}
	}
	remote := func(id, name string) store.Secret {
		return store.Secret{Meta: store.Meta{ID: id}, OrgID: "o1", Name: name, Storage: store.StorageRemote, Remote: &store.Remote{ProviderID: "p1", Path: id}}
	}
	return &world{
		consumers: map[string]store.Consumer{
			"shop/web": {Meta: store.Meta{ID: "c1"}, OrgID: "o1", Name: "web", Bindings: bound, Envs: []store.Env{
				{Name: "PLAIN", Value: ptr("info")}, {Name: "EMPTY", Value: ptr("")}, {Name: "STRIPE", SecretID: "s1"}, {Name: "OLD", SecretID: "s1", Version: 1},
				{Name: "DELETED", SecretID: "gone"}, {Name: "STAGED", SecretID: "s2"}, {Name: "DESTROYED", SecretID: "s1", Version: 2}, {Name: "QUOTE", SecretID: "s3"},
				{Name: "CORRUPT", SecretID: "s4"}, {Name: "KEYLESS", SecretID: "s5"}, {Name: "FOREIGN", SecretID: "t1"}, {Name: "TAMPERED", SecretID: "s6"},
				{Name: "VAULT", SecretID: "r1"}, {Name: "VAULT2", SecretID: "r2"}, {Name: "VAULT_PINNED", SecretID: "r1", Version: 7},
			}},
			"shop/unbound":     {Meta: store.Meta{ID: "c2"}, OrgID: "o1", Name: "unbound"},
			"shop/account":     {Meta: store.Meta{ID: "c3"}, OrgID: "o1", Bindings: []store.Binding{{Cluster: "main", Namespace: "billing", ServiceAccount: "worker"}}},
			"shop/namespace":   {Meta: store.Meta{ID: "c4"}, OrgID: "o1", Bindings: []store.Binding{{Cluster: "main", Namespace: "other", ServiceAccount: "api"}}},
			"shop/cluster":     {Meta: store.Meta{ID: "c5"}, OrgID: "o1", Bindings: []store.Binding{{Cluster: "edge", Namespace: "billing", ServiceAccount: "api"}}},
			"shop/case":        {Meta: store.Meta{ID: "c6"}, OrgID: "o1", Bindings: []store.Binding{{Cluster: "main", Namespace: "billing", ServiceAccount: "API"}}},
			"shop/space":       {Meta: store.Meta{ID: "c7"}, OrgID: "o1", Bindings: []store.Binding{{Cluster: "main", Namespace: "billing", ServiceAccount: "api "}}},
			"shop/prefix":      {Meta: store.Meta{ID: "c8"}, OrgID: "o1", Bindings: []store.Binding{{Cluster: "main", Namespace: "bill", ServiceAccount: "ing/api"}}},
			"shop/wildcard":    {Meta: store.Meta{ID: "c9"}, OrgID: "o1", Bindings: []store.Binding{{Cluster: "*", Namespace: "*", ServiceAccount: "*"}}},
			"shop/tampered":    {Meta: store.Meta{ID: "c11"}, OrgID: "o1", Bindings: bound},
			"shop/emptyfields": {Meta: store.Meta{ID: "c10"}, OrgID: "o1", Bindings: []store.Binding{{}}},
			"other/theirs":     {Meta: store.Meta{ID: "d1"}, OrgID: "o2", Name: "theirs", Bindings: bound, Envs: []store.Env{{Name: "THEIRS", SecretID: "t1"}}},
		},
		secrets: map[string]store.Secret{
			"o1/s1": local("o1", "s1", "stripe", 3), "o1/s2": local("o1", "s2", "staged", 0), "o1/s3": local("o1", "s3", "quote", 1),
			"o1/s4": local("o1", "s4", "corrupt", 1), "o1/s5": local("o1", "s5", "keyless", 1), "o2/t1": local("o2", "t1", "theirs", 1), "o1/s6": local("o1", "s6", "tampered", 1),
			"o1/r1": remote("r1", "vault-one"), "o1/r2": remote("r2", "vault-two"),
		},
		values:  map[string]string{"o1/s1@3": canary, "o1/s1@1": canary + "-old", "o1/s3@1": canary + "'", "o2/t1@1": canary + "-theirs"},
		openErr: map[string]error{"o1/s4@1": store.ErrIntegrity, "o1/s5@1": store.ErrKey, "o1/s6": store.ErrIntegrity, "shop/tampered": store.ErrIntegrity},
	}
}

var caller = resolve.Call{RequestID: "r1", SourceIP: "10.0.0.7", Principal: authn.Principal{
	Cluster: "main", Namespace: "billing", ServiceAccount: "api", Pod: "api-1", PodUID: "u1", Node: "n1", TokenID: "JTI=1",
}}

func ask(t testing.TB, containers ...wire.ContainerRequest) resolve.Request {
	t.Helper()
	for i := range containers {
		if containers[i].Name == "" {
			containers[i].Name = fmt.Sprintf("c%d", i)
		}
		if containers[i].Delivery == "" {
			containers[i].Delivery = wire.DeliveryEnvfile
		}
	}
	req, refusal := resolve.Parse(wire.ResolveRequest{Protocol: wire.Protocol, Containers: containers})
	if refusal != nil {
		t.Fatal(refusal)
	}
	return req
}

// values renders a response for comparison.
func values(r *wire.ResolveResponse) map[string]string {
	out := map[string]string{}
	for _, c := range r.Containers {
		for _, e := range c.Envs {
			out[c.Name+"."+e.Name] = fmt.Sprintf("%s (%s@%d)", e.Value.Reveal(), e.Secret, e.Version)
		}
	}
	return out
}

func TestEachDeliveryHasItsOwnRules(t *testing.T) {
	for name, tc := range map[string]struct {
		delivery wire.Delivery
		value    string
		carried  bool
	}{
		"a quote by envfile":   {wire.DeliveryEnvfile, canary + "'", false},
		"a quote by exec":      {wire.DeliveryExec, canary + "'", true},
		"nothing by exec":      {wire.DeliveryExec, "", true},
		"a NUL byte by exec":   {wire.DeliveryExec, canary + "\x00", false},
		"a NUL byte by file":   {wire.DeliveryFile, canary + "\x00'", true},
		"nothing by file":      {wire.DeliveryFile, "", true},
		"a plain one, envfile": {wire.DeliveryEnvfile, canary, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.values["o1/s3@1"] = tc.value
			got, refusal := w.resolver(t).Resolve(t.Context(), caller, ask(t, wire.ContainerRequest{Name: "app", Consumer: "shop/web", Envs: []string{"QUOTE"}, Delivery: tc.delivery}))
			switch {
			case tc.carried && (refusal != nil || string(got.Containers[0].Envs[0].Value.Reveal()) != tc.value):
				t.Errorf("refused with %v", refusal)
			case !tc.carried && (refusal == nil || refusal.Problem.Items[0].Code != wire.CodeUnrepresentable || strings.Contains(refusal.Problem.Items[0].Message, canary)):
				t.Errorf("refusal = %+v", refusal)
			}
		})
	}
}

func TestAPodReceivesWhatItsConsumersReferTo(t *testing.T) {
	w := newWorld()
	got, refusal := w.resolver(t).Resolve(t.Context(), caller, ask(t,
		wire.ContainerRequest{Name: "app", Consumer: "shop/web", Envs: []string{"OLD", "STRIPE", "PLAIN"}},
		wire.ContainerRequest{Name: "side", Consumer: "other/theirs", Envs: []string{"THEIRS"}},
		wire.ContainerRequest{Name: "third", Consumer: "shop/web", Envs: []string{"STRIPE"}}))
	if refusal != nil {
		t.Fatal(refusal)
	}
	want := map[string]string{
		"app.OLD": canary + "-old (stripe@1)", "app.STRIPE": canary + " (stripe@3)", "app.PLAIN": "info (@0)",
		"side.THEIRS": canary + "-theirs (theirs@1)", "third.STRIPE": canary + " (stripe@3)",
	}
	if diff := cmp.Diff(want, values(got)); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if got.RequestID != "r1" || got.Containers[0].Envs[0].Name != "OLD" {
		t.Error("the request id or the order of the ENVs was lost")
	}
	if len(w.opened) != 3 {
		t.Errorf("%d values were opened, want each version once", len(w.opened))
	}

	// One event for each organization, with its own grants only.
	pod := audit.Workload{Cluster: "main", Namespace: "billing", ServiceAccount: "api", Pod: "api-1", PodUID: "u1", Node: "n1", TokenID: "JTI=1"}
	shop, other := pod, pod
	shop.Released = []audit.Grant{
		{Container: "app", Consumer: "shop/web", ConsumerID: "c1", Env: "OLD", Secret: "stripe", SecretID: "s1", Version: 1},
		{Container: "app", Consumer: "shop/web", ConsumerID: "c1", Env: "STRIPE", Secret: "stripe", SecretID: "s1", Version: 3},
		{Container: "app", Consumer: "shop/web", ConsumerID: "c1", Env: "PLAIN"},
		{Container: "third", Consumer: "shop/web", ConsumerID: "c1", Env: "STRIPE", Secret: "stripe", SecretID: "s1", Version: 3},
	}
	other.Released = []audit.Grant{{Container: "side", Consumer: "other/theirs", ConsumerID: "d1", Env: "THEIRS", Secret: "theirs", SecretID: "t1", Version: 1}}
	event := audit.Event{
		RequestID: "r1", Actor: "serviceaccount:billing/api", SourceIP: "10.0.0.7", Action: audit.WorkloadResolve, Outcome: audit.Allowed,
		ResourceKind: "pod", ResourceID: "u1", ResourceName: "billing/api-1",
	}
	first, second := event, event
	first.OrgID, first.Workload, second.OrgID, second.Workload = "o1", &shop, "o2", &other
	for i := range w.events {
		if w.events[i].ID == "" || w.events[i].Time.IsZero() {
			t.Error("an event has no id or time")
		}
		w.events[i].ID, w.events[i].Time = "", time.Time{}
	}
	if diff := cmp.Diff([]audit.Event{first, second}, w.events); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}
	if strings.Contains(fmt.Sprintf("%+v", w.events), canary) {
		t.Error("the audit events contain a value")
	}
}

func TestAConsumerThatDoesNotBindThePodMightAsWellNotExist(t *testing.T) {
	var first string
	for _, name := range []string{
		"shop/nosuch", "nosuch/web", "shop/unbound", "shop/account", "shop/namespace", "shop/cluster", "shop/case", "shop/space", "shop/prefix",
		"shop/wildcard", "shop/emptyfields", "shop/tampered", "shop/WEB", "shop/web.",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			// A good consumer beside it changes nothing, and an ENV that exists or not tells nothing.
			_, refusal := w.resolver(t).Resolve(t.Context(), caller, ask(t,
				wire.ContainerRequest{Consumer: "shop/web", Envs: []string{"STRIPE", "NOSUCH"}}, wire.ContainerRequest{Consumer: name, Envs: []string{"A"}}))
			if refusal == nil {
				t.Fatal("values were released")
			}
			if refusal.Problem.Code != wire.CodeNotBound || refusal.Problem.Items != nil {
				t.Errorf("refused with %+v", refusal.Problem)
			}
			for _, want := range []string{name, "service account api of namespace billing, cluster main"} {
				if !strings.Contains(refusal.Problem.Message, want) {
					t.Errorf("message %q does not name %q", refusal.Problem.Message, want)
				}
			}
			uniform := strings.ReplaceAll(refusal.Problem.Message, name, "X")
			if first == "" {
				first = uniform
			}
			if uniform != first {
				t.Errorf("message %q differs from %q", uniform, first)
			}
			if len(w.opened) != 0 || len(w.events) != 0 {
				t.Error("something was opened or recorded as allowed")
			}
			if len(w.denied) != 1 || w.denied[0].Reason != "not_bound" || w.denied[0].ResourceName != name || w.denied[0].Outcome != audit.Denied {
				t.Errorf("denials recorded: %+v", w.denied)
			}
		})
	}
}

func TestEveryProblemIsToldAndNothingElse(t *testing.T) {
	w := newWorld()
	w.fetch = func(_ context.Context, _ string, r store.Remote) (redact.Value, error) {
		if r.Path == "r1" {
			return redact.Value{}, &resolve.FetchError{Code: wire.CodeProviderDenied, Provider: "vault-prod", Err: errors.New("permission denied")}
		}
		return w.hand(canary), nil
	}
	envs := []string{"PLAIN", "EMPTY", "STRIPE", "DELETED", "STAGED", "DESTROYED", "QUOTE", "CORRUPT", "FOREIGN", "TAMPERED", "NOSUCH", "VAULT", "VAULT2", "VAULT_PINNED"}
	got, refusal := w.resolver(t).Resolve(t.Context(), caller, ask(t, wire.ContainerRequest{Name: "app", Consumer: "shop/web", Envs: envs}))
	if refusal == nil || got != nil {
		t.Fatal("a part was released")
	}
	if refusal.Problem.Code != wire.CodeUnresolved {
		t.Errorf("code = %s", refusal.Problem.Code)
	}
	codes := map[string]string{}
	for _, it := range refusal.Problem.Items {
		codes[it.Env] = strings.TrimRight(fmt.Sprintf("%s %s %s", it.Code, it.Secret, it.Provider), " ")
		if it.Container != "app" || it.Message == "" {
			t.Errorf("item %+v lacks its container or message", it)
		}
	}
	want := map[string]string{
		"EMPTY": "unrepresentable", "DELETED": "secret_missing", "STAGED": "version_missing staged", "DESTROYED": "version_missing stripe",
		"QUOTE": "unrepresentable quote", "CORRUPT": "integrity corrupt", "FOREIGN": "secret_missing", "TAMPERED": "integrity", "NOSUCH": "env_missing",
		"VAULT": "provider_denied vault-one vault-prod", "VAULT_PINNED": "provider_invalid vault-one",
	}
	if diff := cmp.Diff(want, codes); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
	if strings.Contains(fmt.Sprintf("%+v %v", refusal.Problem, refusal), canary) {
		t.Error("the refusal contains a value")
	}
	for _, v := range w.opened {
		if strings.Contains(string(v.Reveal()), "cAnArY") {
			t.Error("a value that was not released was not wiped")
		}
	}
	if len(w.events) != 0 || len(w.denied) != 1 || w.denied[0].Reason != "unresolved" {
		t.Errorf("recorded %+v as allowed, %+v as denied", w.events, w.denied)
	}
}

func TestTroubleReleasesNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*world)
		env    string
		want   wire.Code
	}{
		"etcd is gone":            {func(w *world) { w.viewErr = fmt.Errorf("barrier: %w", store.ErrUnavailable) }, "STRIPE", wire.CodeStoreUnavailable},
		"etcd is slow":            {func(w *world) { w.viewErr = context.DeadlineExceeded }, "STRIPE", wire.CodeStoreUnavailable},
		"the ring has no key":     {func(w *world) { w.viewErr = store.ErrKey }, "STRIPE", wire.CodeKeyUnavailable},
		"one value's key is gone": {func(*world) {}, "KEYLESS", wire.CodeKeyUnavailable},
		"something unknown":       {func(w *world) { w.viewErr = errors.New("odd") }, "STRIPE", wire.CodeInternal},
		"the audit log fails":     {func(w *world) { w.auditErr = audit.ErrTimeout }, "STRIPE", wire.CodeAuditUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			tc.change(w)
			got, refusal := w.resolver(t).Resolve(t.Context(), caller, ask(t, wire.ContainerRequest{Consumer: "shop/web", Envs: []string{"OLD", tc.env}}))
			if got != nil || refusal == nil {
				t.Fatal("values were released")
			}
			if refusal.Problem.Code != tc.want || refusal.Err == nil {
				t.Errorf("refused with %s because of %v, want %s and a cause", refusal.Problem.Code, refusal.Err, tc.want)
			}
			for _, v := range w.opened {
				if strings.Contains(string(v.Reveal()), "cAnArY") {
					t.Error("a value was not wiped")
				}
			}
			if len(w.denied) != 0 {
				t.Error("trouble was recorded as a denial")
			}
		})
	}
}

// hanging is an audit log that answers nobody.
type hanging struct{}

func (hanging) Record(ctx context.Context, _ ...audit.Event) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestAnAuditLogThatHangsIsGivenTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r, err := resolve.New(resolve.Config{View: func(context.Context) (resolve.View, error) { return w, nil }, Audit: hanging{}, Denied: denier{w}})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, refusal := r.Resolve(t.Context(), caller, ask(t, wire.ContainerRequest{Consumer: "shop/web", Envs: []string{"STRIPE"}}))
		if refusal == nil || refusal.Problem.Code != wire.CodeAuditUnavailable {
			t.Fatalf("refusal = %v", refusal)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestRemoteValuesAreFetchedTogetherWithinTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var envs []string
		web := w.consumers["shop/web"]
		for i := range 20 {
			id := fmt.Sprintf("x%d", i)
			w.secrets["o1/"+id] = store.Secret{OrgID: "o1", Name: id, Storage: store.StorageRemote, Remote: &store.Remote{Path: id}}
			envs = append(envs, "E"+id)
			web.Envs = append(web.Envs, store.Env{Name: "E" + id, SecretID: id})
		}
		w.consumers["shop/web"] = web
		var mu sync.Mutex
		calls, open, most := 0, 0, 0
		w.fetch = func(context.Context, string, store.Remote) (redact.Value, error) {
			mu.Lock()
			calls, open = calls+1, open+1
			most = max(most, open)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			open--
			mu.Unlock()
			return redact.New([]byte("v")), nil
		}
		start := time.Now()
		got, refusal := w.resolver(t).Resolve(t.Context(), caller, ask(t,
			wire.ContainerRequest{Consumer: "shop/web", Envs: envs}, wire.ContainerRequest{Consumer: "shop/web", Envs: envs}))
		if refusal != nil {
			t.Fatal(refusal)
		}
		if n := len(values(got)); n != 40 || calls != 20 || most != 8 {
			t.Errorf("%d values by %d fetches, %d at once; want 40 by 20, 8 at once", n, calls, most)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %v, want three rounds of a second", took)
		}
	})
}

func TestProvidersFailByTheirCode(t *testing.T) {
	fail := func(err error) func(context.Context, string, store.Remote) (redact.Value, error) {
		return func(context.Context, string, store.Remote) (redact.Value, error) { return redact.Value{}, err }
	}
	for name, tc := range map[string]struct {
		fetch func(context.Context, string, store.Remote) (redact.Value, error)
		want  wire.Code
	}{
		"no fetcher is configured":     {nil, wire.CodeProviderUnavailable},
		"an error without a code":      {fail(errors.New("odd")), wire.CodeProviderUnavailable},
		"a code that is no provider's": {fail(&resolve.FetchError{Code: wire.CodeInternal, Err: errors.New("odd")}), wire.CodeProviderUnavailable},
		"throttled":                    {fail(fmt.Errorf("wrapped: %w", &resolve.FetchError{Code: wire.CodeProviderThrottled})), wire.CodeProviderThrottled},
		"a value over the limit": {func(context.Context, string, store.Remote) (redact.Value, error) {
			return redact.New(make([]byte, wire.MaxValueBytes+1)), nil
		}, wire.CodeProviderInvalid},
		"a panic": {func(context.Context, string, store.Remote) (redact.Value, error) { panic(canary) }, wire.CodeProviderUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.fetch = tc.fetch
			_, refusal := w.resolver(t).Resolve(t.Context(), caller, ask(t, wire.ContainerRequest{Consumer: "shop/web", Envs: []string{"VAULT"}}))
			if refusal == nil || len(refusal.Problem.Items) != 1 || refusal.Problem.Items[0].Code != tc.want {
				t.Fatalf("refusal = %+v, want one item with %s", refusal, tc.want)
			}
			if strings.Contains(refusal.Error(), canary) {
				t.Error("the refusal quotes a panic")
			}
		})
	}
}
