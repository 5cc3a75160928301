// SPDX-License-Identifier: Apache-2.0

package authn_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/authn"
	"github.com/lanyard-dev/lanyard/registry/authn/authntest"
)

func newAuthenticator(t *testing.T, c *authntest.Cluster, change ...func(*authn.Config)) *authn.Authenticator {
	t.Helper()
	api, err := authn.Dial(c.Client())
	if err != nil {
		t.Fatal(err)
	}
	config := authn.Config{API: api, Cluster: "main", InjectorNamespace: "lanyard", InjectorServiceAccount: "lanyard-injector"}
	for _, f := range change {
		f(&config)
	}
	a, err := authn.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// refusal returns err as what it must be.
func refusal(t *testing.T, err error) *authn.Error {
	t.Helper()
	e, ok := errors.AsType[*authn.Error](err)
	if !ok {
		t.Fatalf("error = %v, want an *authn.Error", err)
	}
	return e
}

func TestAGoodTokenIsItsPod(t *testing.T) {
	c := authntest.New(t)
	token := authntest.Good(c, "api-7f9c")
	p, err := newAuthenticator(t, c).Workload(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(p.TokenID, "JTI=") || p.PodUID == "" {
		t.Errorf("token id %q and pod uid %q are not those of the review", p.TokenID, p.PodUID)
	}
	p.TokenID, p.PodUID = "", ""
	want := authn.Principal{Cluster: "main", Namespace: "billing", ServiceAccount: "api", Pod: "api-7f9c", Node: "node-1"}
	if p != want {
		t.Errorf("principal = %+v, want %+v", p, want)
	}
}

func TestHostileTokensAreRefusedAlike(t *testing.T) {
	c := authntest.New(t)
	a := newAuthenticator(t, c)
	hostile := authntest.Hostile(c)
	if len(hostile) < 25 {
		t.Fatalf("only %d kinds of hostile tokens", len(hostile))
	}
	messages := map[wire.Code]string{}
	for _, h := range hostile {
		t.Run(h.Name, func(t *testing.T) {
			p, err := a.Workload(t.Context(), h.Token)
			if p != (authn.Principal{}) {
				t.Errorf("a refusal came with principal %+v", p)
			}
			e := refusal(t, err)
			if e.Code != h.Code || e.Reason != h.Reason {
				t.Errorf("refused as %s for %s, want %s for %s", e.Code, e.Reason, h.Code, h.Reason)
			}
			if h.Token != "" && strings.Contains(err.Error(), h.Token) {
				t.Error("the error contains the token")
			}
			if first, ok := messages[e.Code]; ok && first != e.Message {
				t.Errorf("message %q differs from %q of another token", e.Message, first)
			}
			messages[e.Code] = e.Message
		})
	}
}

func TestMalformedTokensDoNotReachTheAPIServer(t *testing.T) {
	c := authntest.New(t)
	a := newAuthenticator(t, c)
	for _, h := range authntest.Hostile(c) {
		if !strings.HasPrefix(string(h.Reason), "token_") {
			continue
		}
		if _, err := a.Workload(t.Context(), h.Token); err == nil {
			t.Errorf("%s was accepted", h.Name)
		}
	}
	if n := c.Asked("tokenreviews"); n != 0 {
		t.Errorf("%d of them were reviewed", n)
	}
}

func TestOnlyTheInjectorMayFollowNames(t *testing.T) {
	c := authntest.New(t)
	a := newAuthenticator(t, c)
	workload := authntest.Good(c, "api")
	c.AddAccount("lanyard", "lanyard-injector")
	c.AddPod("lanyard", "injector", "lanyard-injector", "node-1")
	c.AddAccount("billing", "lanyard-injector")
	c.AddPod("billing", "injector", "lanyard-injector", "node-1")

	if _, err := a.Injector(t.Context(), c.Sign(authntest.Token{Namespace: "lanyard", Account: "lanyard-injector", Pod: "injector"})); err != nil {
		t.Errorf("the injector was refused: %v", err)
	}
	for name, token := range map[string]string{
		"a workload": workload,
		"the injector's name in another namespace": c.Sign(authntest.Token{Namespace: "billing", Account: "lanyard-injector", Pod: "injector"}),
	} {
		_, err := a.Injector(t.Context(), token)
		if e := refusal(t, err); e.Code != wire.CodeUnauthenticated || e.Reason != authn.NotInjector {
			t.Errorf("%s: refused as %s for %s", name, e.Code, e.Reason)
		}
	}
	_, err := a.Injector(t.Context(), c.Sign(authntest.Token{Namespace: "lanyard", Account: "lanyard-injector"}))
	if e := refusal(t, err); e.Reason != authn.ReviewUnbound {
		t.Errorf("an unbound token of the injector: refused for %s", e.Reason)
	}
	unconfigured := newAuthenticator(t, c, func(config *authn.Config) { config.InjectorServiceAccount, config.InjectorNamespace = "", "" })
	if _, err := unconfigured.Injector(t.Context(), workload); err == nil {
		t.Error("without a configured injector a workload passed for it")
	}
}

func TestATroubledAPIServerNeverBlamesTheToken(t *testing.T) {
	for name, fault := range map[string]http.HandlerFunc{
		"an internal error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"too many requests": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"our own RBAC missing":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"our own token refused":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"a 404 of something else": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "page not found", http.StatusNotFound) },
		"garbage":                 func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>hello</html>")) },
		"an endless answer": func(w http.ResponseWriter, _ *http.Request) {
			chunk := make([]byte, 1<<16)
			for range 80 {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		},
		"a closed connection": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			c := authntest.New(t)
			a := newAuthenticator(t, c)
			token := authntest.Good(c, "api")
			c.Break(fault)
			_, err := a.Workload(t.Context(), token)
			if e := refusal(t, err); e.Code != wire.CodeAuthUnavailable || e.Reason != authn.ReviewUnavailable {
				t.Errorf("review: refused as %s for %s", e.Code, e.Reason)
			}
			if strings.Contains(err.Error(), "<html>") || strings.Contains(err.Error(), token) {
				t.Errorf("the error quotes a body or the token: %v", err)
			}
			// The pod is asked for after a good review: let only that fail.
			c.Break(nil)
			pods := newAuthenticator(t, c, func(config *authn.Config) { config.API = podsFail{config.API, c, fault} })
			_, err = pods.Workload(t.Context(), token)
			if e := refusal(t, err); e.Code != wire.CodeAuthUnavailable || e.Reason != authn.PodUnavailable {
				t.Errorf("pod: refused as %s for %s", e.Code, e.Reason)
			}
			c.Break(nil)
			if _, err := a.Workload(t.Context(), token); err != nil {
				t.Errorf("after the trouble: %v", err)
			}
		})
	}
}

// podsFail breaks the cluster between the review and the pod.
type podsFail struct {
	authn.API
	cluster *authntest.Cluster
	fault   http.Handler
}

func (p podsFail) Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	p.cluster.Break(p.fault)
	return p.API.Pod(ctx, namespace, name)
}

func TestNodesThatCannotDoADeliveryAreRefused(t *testing.T) {
	const able = "containerd://2.1.0"
	envfile, direct, others := wire.DeliveryEnvfile, wire.DeliveryDirect, []wire.Delivery{wire.DeliveryExec, wire.DeliveryFile}
	for name, tc := range map[string]struct {
		kubelet, runtime string
		deliveries       []wire.Delivery
		want             string // part of the message; empty: let pass
	}{
		"envfile on a kubelet that reads them":         {"v1.35.0", "", []wire.Delivery{envfile}, ""},
		"envfile on an older one":                      {"v1.34.9", able, []wire.Delivery{envfile}, "envfile: its kubelet \"v1.34.9\" is older than 1.35"},
		"direct on a node that mounts images":          {"v1.36.0", able, []wire.Delivery{direct}, ""},
		"direct on an older kubelet":                   {"v1.35.9", able, []wire.Delivery{direct}, "direct: its kubelet"},
		"direct on an older runtime":                   {"v1.37.2", "containerd://2.0.5", []wire.Delivery{direct}, "direct: its container runtime"},
		"one of two that the node cannot do":           {"v1.35.0", able, []wire.Delivery{envfile, direct}, "direct: its kubelet"},
		"what no node is needed for, on an unread one": {"", "", others, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := authntest.New(t)
			c.AddNode("n", tc.kubelet, tc.runtime)
			a := newAuthenticator(t, c)
			for range 2 { // what was found the first time changes nothing for the worse or better
				err := a.CheckNode(t.Context(), authn.Principal{Node: "n"}, tc.deliveries)
				if (tc.want == "") != (err == nil) {
					t.Fatalf("CheckNode: %v", err)
				}
				if err == nil {
					continue
				}
				if e := refusal(t, err); e.Code != wire.CodeNodeUnsupported || !strings.Contains(e.Message, tc.want) {
					t.Errorf("refused as %s: %s", e.Code, e.Message)
				}
			}
			any := newAuthenticator(t, c, func(config *authn.Config) { config.AnyNode = true })
			if err := any.CheckNode(t.Context(), authn.Principal{Node: "n"}, tc.deliveries); err != nil {
				t.Errorf("with the check off: %v", err)
			}
		})
	}
	t.Run("nobody is asked for what needs no node", func(t *testing.T) {
		c := authntest.New(t)
		if err := newAuthenticator(t, c).CheckNode(t.Context(), authn.Principal{Node: "n"}, others); err != nil || c.Asked("nodes") != 0 {
			t.Errorf("%v after %d questions", err, c.Asked("nodes"))
		}
	})
	t.Run("an unknown node", func(t *testing.T) {
		err := newAuthenticator(t, authntest.New(t)).CheckNode(t.Context(), authn.Principal{Node: "n"}, []wire.Delivery{wire.DeliveryEnvfile})
		if e := refusal(t, err); e.Code != wire.CodeNodeUnsupported {
			t.Errorf("refused as %s", e.Code)
		}
	})
	t.Run("a node that cannot be asked about", func(t *testing.T) {
		c := authntest.New(t)
		c.Break(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
		err := newAuthenticator(t, c).CheckNode(t.Context(), authn.Principal{Node: "n"}, []wire.Delivery{wire.DeliveryEnvfile})
		if e := refusal(t, err); e.Code != wire.CodeAuthUnavailable {
			t.Errorf("refused as %s", e.Code)
		}
	})
}

func TestAGoodNodeIsRememberedForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fake{node: "v1.37.2"}
		a, err := authn.New(authn.Config{API: api, Cluster: "main"})
		if err != nil {
			t.Fatal(err)
		}
		check := func(want int) {
			t.Helper()
			if err := a.CheckNode(t.Context(), authn.Principal{Node: "n"}, []wire.Delivery{wire.DeliveryEnvfile}); err != nil {
				t.Fatal(err)
			}
			if api.nodes != want {
				t.Errorf("the API server was asked %d times, want %d", api.nodes, want)
			}
		}
		check(1)
		time.Sleep(59 * time.Second)
		check(1)
		time.Sleep(time.Second)
		check(2)
	})
}

func TestEqualTokensShareOneReviewOnlyWhileItRuns(t *testing.T) {
	token := goodToken(t)
	synctest.Test(t, func(t *testing.T) {
		api := &fake{hold: make(chan struct{})}
		a, err := authn.New(authn.Config{API: api, Cluster: "main"})
		if err != nil {
			t.Fatal(err)
		}
		// The first one leaves early; the review goes on for the others.
		first, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			_, err := a.Workload(first, token)
			if e := refusal(t, err); e.Code != wire.CodeAuthUnavailable {
				t.Errorf("the one that left: %s", e.Code)
			}
		})
		synctest.Wait()
		for range 10 {
			all.Go(func() {
				if _, err := a.Workload(t.Context(), token); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		close(api.hold)
		all.Wait()
		if api.reviews != 1 || api.pods != 10 {
			t.Errorf("%d reviews and %d pod reads, want 1 and 10", api.reviews, api.pods)
		}
		if _, err := a.Workload(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		if api.reviews != 2 {
			t.Error("a finished review was used again")
		}
	})
}

// broken panics when it is asked.
type broken struct{ authn.API }

func (broken) ReviewToken(context.Context, string, string) (*authenticationv1.TokenReviewStatus, error) {
	panic("cAnArY")
}

func TestAPanicInAReviewCostsOneRequest(t *testing.T) {
	c := authntest.New(t)
	a := newAuthenticator(t, c, func(config *authn.Config) { config.API = broken{config.API} })
	_, err := a.Workload(t.Context(), authntest.Good(c, "api"))
	if e := refusal(t, err); e.Code != wire.CodeAuthUnavailable || strings.Contains(err.Error(), "cAnArY") {
		t.Errorf("refused as %s: %v", e.Code, err)
	}
}

func TestASlowAPIServerIsNotPiledUpon(t *testing.T) {
	token := goodToken(t)
	synctest.Test(t, func(t *testing.T) {
		api := &fake{hold: make(chan struct{})}
		a, err := authn.New(authn.Config{API: api, Cluster: "main", Concurrency: 2})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var all sync.WaitGroup
		var mu sync.Mutex
		codes := map[wire.Code]int{}
		for i := range 10 {
			all.Go(func() {
				_, err := a.Workload(t.Context(), token+strings.Repeat("A", 1+i)) // ten different tokens
				mu.Lock()
				defer mu.Unlock()
				codes[refusal(t, err).Code]++
			})
		}
		all.Wait()
		if codes[wire.CodeOverloaded] != 8 || codes[wire.CodeAuthUnavailable] != 2 {
			t.Errorf("refusals = %v, want 8 overloaded after the wait and 2 unavailable after the timeout", codes)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("the last answer came after %v, want the timeout of 3s", took)
		}
		if api.reviews != 2 {
			t.Errorf("the API server was asked %d times at once, want 2", api.reviews)
		}
		close(api.hold)
		if _, err := a.Workload(t.Context(), token); err != nil {
			t.Errorf("after it recovered: %v", err)
		}
	})
}

func TestWithoutAClusterEverybodyIsRefusedAsUnavailable(t *testing.T) {
	_, err := authn.Off{}.Workload(t.Context(), "x")
	if e := refusal(t, err); e.Code != wire.CodeAuthUnavailable || !strings.Contains(e.Message, "without a Kubernetes cluster") {
		t.Errorf("refused as %s: %s", e.Code, e.Message)
	}
	if _, err := (authn.Off{}).Injector(t.Context(), "x"); refusal(t, err).Code != wire.CodeAuthUnavailable {
		t.Error("Injector did not refuse as unavailable")
	}
	if err := (authn.Off{}).CheckNode(t.Context(), authn.Principal{}, nil); refusal(t, err).Code != wire.CodeAuthUnavailable {
		t.Error("CheckNode did not refuse as unavailable")
	}
}

// fake is an API without a network, for tests with virtual time. It vouches for every token.
type fake struct {
	mu                   sync.Mutex
	reviews, pods, nodes int
	hold                 chan struct{} // if not nil, reviews wait until it is closed
	node                 string
}

func (f *fake) ReviewToken(ctx context.Context, _, audience string) (*authenticationv1.TokenReviewStatus, error) {
	f.mu.Lock()
	f.reviews++
	f.mu.Unlock()
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &authenticationv1.TokenReviewStatus{Authenticated: true, Audiences: []string{audience}, User: authenticationv1.UserInfo{
		Username: "system:serviceaccount:billing:api",
		Extra: map[string]authenticationv1.ExtraValue{
			"authentication.kubernetes.io/pod-name": {"api"}, "authentication.kubernetes.io/pod-uid": {"u"},
			"authentication.kubernetes.io/node-name": {"n"}, "authentication.kubernetes.io/credential-id": {"JTI=1"},
		},
	}}, nil
}

func (f *fake) Pod(context.Context, string, string) (*corev1.Pod, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pods++
	pod := &corev1.Pod{Spec: corev1.PodSpec{ServiceAccountName: "api", NodeName: "n"}}
	pod.UID = "u"
	return pod, nil
}

func (f *fake) Node(context.Context, string) (*corev1.Node, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nodes++
	node := &corev1.Node{}
	node.Status.NodeInfo.KubeletVersion = f.node
	return node, nil
}

// goodToken has the right shape also in a synctest bubble, whose clock stands in the year 2000.
func goodToken(t *testing.T) string {
	t.Helper()
	c := authntest.New(t)
	c.AddAccount("billing", "api")
	return c.Sign(authntest.Token{Namespace: "billing", Account: "api", NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)})
}
