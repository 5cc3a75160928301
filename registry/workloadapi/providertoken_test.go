// SPDX-License-Identifier: Apache-2.0

package workloadapi_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/authn/authntest"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/workloadapi"
)

// tokenSink is a resolver that keeps what was asked.
type tokenSink struct{ asked []resolve.Request }

func (s *tokenSink) Resolve(_ context.Context, _ resolve.Call, req resolve.Request) (*wire.ResolveResponse, *resolve.Refusal) {
	s.asked = append(s.asked, req)
	return &wire.ResolveResponse{}, nil
}

func TestOnlyThePodsOwnTokensGoOnToProviders(t *testing.T) {
	w := newWorld(t)
	sink := &tokenSink{}
	w.config.Resolver = sink
	h := w.handler(t)
	mine := authntest.Good(w.cluster, "api-1")
	w.cluster.AddPod("billing", "api-2", "api", "node-1")
	w.cluster.AddAccount("billing", "other")
	w.cluster.AddPod("billing", "other-1", "other", "node-1")
	token := func(pod, account string, audiences ...string) string {
		return w.cluster.Sign(authntest.Token{Namespace: "billing", Account: account, Pod: pod, Audiences: audiences})
	}
	ask := func(tokens ...wire.ProviderToken) *httptest.ResponseRecorder {
		request := wire.ResolveRequest{Protocol: 1, ProviderTokens: tokens, Containers: []wire.ContainerRequest{{Name: "app", Consumer: "shop/web", Delivery: wire.DeliveryExec, Envs: []string{"E0"}}}}
		body, err := wire.AppendRequest(nil, &request)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, wire.ResolvePath, strings.NewReader(string(body)))
		r.Header.Set("Authorization", "Bearer "+mine)
		r.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		return answer
	}
	of := func(audience, token string) wire.ProviderToken {
		return wire.ProviderToken{Audience: audience, Token: redact.New([]byte(token))}
	}
	good := token("api-1", "api", "vault")
	if answer := ask(of("vault", good), of("other", token("api-1", "api", "other"))); answer.Code != http.StatusOK {
		t.Fatalf("the pod's own tokens: %d %s", answer.Code, answer.Body)
	}
	if got := sink.asked[0].ProviderTokens(); len(got) != 2 || string(got[0].Token.Reveal()) != good {
		t.Errorf("%d tokens went on", len(got))
	}
	for name, tc := range map[string]struct {
		tokens []wire.ProviderToken
		status int
	}{
		"another pod's of the same account":            {[]wire.ProviderToken{of("vault", token("api-2", "api", "vault"))}, 401},
		"another account's":                            {[]wire.ProviderToken{of("vault", token("other-1", "other", "vault"))}, 401},
		"one for another audience than it says":        {[]wire.ProviderToken{of("vault", token("api-1", "api", "elsewhere"))}, 401},
		"one for two audiences":                        {[]wire.ProviderToken{of("vault", token("api-1", "api", "vault", "elsewhere"))}, 401},
		"the one for the registry":                     {[]wire.ProviderToken{of("vault", mine)}, 401},
		"one that is not bound to a pod":               {[]wire.ProviderToken{of("vault", token("", "api", "vault"))}, 401},
		"one that nobody signed":                       {[]wire.ProviderToken{of("vault", good[:len(good)-8]+"AAAAAAAA")}, 401},
		"none":                                         {[]wire.ProviderToken{of("vault", "")}, 400},
		"one for the API server":                       {[]wire.ProviderToken{of("https://kubernetes.default.svc", good)}, 400},
		"two of one audience":                          {[]wire.ProviderToken{of("vault", good), of("vault", good)}, 400},
		"one that is too long":                         {[]wire.ProviderToken{of("vault", strings.Repeat("a", wire.MaxTokenBytes+1))}, 400},
		"more than a pod may have, though all its own": {[]wire.ProviderToken{of("a1", good), of("a2", good), of("a3", good), of("a4", good), of("a5", good)}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(sink.asked)
			answer := ask(tc.tokens...)
			if answer.Code != tc.status || len(sink.asked) != before {
				t.Errorf("answered %d %s, want %d and no resolve", answer.Code, answer.Body, tc.status)
			}
			for _, token := range tc.tokens {
				text := string(token.Token.Reveal())
				if text != "" && (strings.Contains(answer.Body.String(), text) || strings.Contains(w.logs.String(), text)) {
					t.Error("the token is in the answer or in the log")
				}
			}
		})
	}
	if !strings.Contains(w.logs.String(), `"reason":"provider_token"`) || strings.Contains(w.logs.String(), good) {
		t.Error("the log does not say why, or holds a token")
	}
}

// passing is a view in which the provider p1 of o1 keeps the secret s1.
type passing struct{ namesView }

func (passing) Secret(_, id string) (store.Secret, bool) {
	return store.Secret{Remote: &store.Remote{ProviderID: "p1"}}, id == "s1"
}

func (passing) FindProvider(_, id string) (store.Provider, error) {
	return store.Provider{Meta: store.Meta{ID: id}, Type: "vault"}, nil
}

func TestNamesTellWhichTokensPodsNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t)
		f.changes <- workloadapi.Change{Ref: ref.Consumer{Org: "shop", Name: "web"}, OrgID: "o1", View: passing{},
			Consumer: &store.Consumer{OrgID: "o1", Name: "web", Envs: []store.Env{{Name: "A", SecretID: "s1"}, {Name: "B", SecretID: "s1"}, {Name: "C", SecretID: "s2"}}}}
		f.changes <- workloadapi.Change{Secret: ref.Secret{Org: "shop", Name: "db"}, OrgID: "o1", View: passing{},
			Granted: &store.Secret{Meta: store.Meta{ID: "s1"}, Remote: &store.Remote{ProviderID: "p1"}}}
		f.open(t)
		if diff := cmp.Diff([]string{"audience-of-vault"}, f.next(t).Consumer.ProviderAudiences); diff != "" {
			t.Errorf("of the consumer (-want +got):\n%s", diff)
		}
		if got := f.next(t).Secret.ProviderAudience; got != "audience-of-vault" {
			t.Errorf("of the secret: %q", got)
		}
		close(f.drain)
		<-f.ended
	})
}
