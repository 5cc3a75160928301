// SPDX-License-Identifier: Apache-2.0

package workloadapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn"
	"github.com/lanyard-dev/lanyard/registry/authn/authntest"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/workloadapi"
)

// problem reads the answer as what it must be.
func problem(t *testing.T, r *http.Response) wire.Problem {
	t.Helper()
	var p wire.Problem
	text := read(t, r)
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatalf("status %d with %q: %v", r.StatusCode, text, err)
	}
	if r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Cache-Control") != "no-store" || r.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers = %v", r.Header)
	}
	if p.Message == "" || p.RequestID == "" {
		t.Errorf("problem %+v lacks its message or request id", p)
	}
	return p
}

func TestAPodGetsItsValues(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewServer(w.handler(t))
	defer server.Close()
	r := request(authntest.Good(w.cluster, "api-1"), body(2))
	r.RequestURI = ""
	r.URL.Scheme, r.URL.Host = "http", server.Listener.Addr().String()
	answer, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("status %d, headers %v", answer.StatusCode, answer.Header)
	}
	got, err := wire.DecodeResponse([]byte(read(t, answer)))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, e := range got.Containers[0].Envs {
		values[e.Name] = string(e.Value.Reveal())
	}
	if diff := cmp.Diff(map[string]string{"E0": canary + "s0", "E1": canary + "s1"}, values); diff != "" {
		t.Error(diff)
	}
	events := w.trail.recorded()
	if len(events) != 1 || events[0].Outcome != audit.Allowed || events[0].RequestID != got.RequestID || events[0].SourceIP != "127.0.0.1" {
		t.Errorf("audit = %+v", events)
	}
	line := w.logs.String()
	for _, want := range []string{`"msg":"workload request"`, `"request_id":"` + got.RequestID + `"`, `"namespace":"billing"`, `"service_account":"api"`, `"pod":"api-1"`, `"code":"ok"`, `"duration_ms":`} {
		if !strings.Contains(line, want) {
			t.Errorf("the log record %s lacks %s", line, want)
		}
	}
	if n := strings.Count(line, "\n"); n != 1 || strings.Contains(line, canary) {
		t.Errorf("%d log records, want one without a value: %s", n, line)
	}
}

func TestHostileTokensGetOneAnswer(t *testing.T) {
	w := newWorld(t)
	h := w.handler(t)
	id := regexp.MustCompile(`"request_id":"[^"]+"`)
	answers := map[wire.Code]string{}
	for _, hostile := range authntest.Hostile(w.cluster) {
		t.Run(hostile.Name, func(t *testing.T) {
			before := len(w.trail.recorded())
			answer := do(h, request(hostile.Token, body(1)))
			if answer.StatusCode != hostile.Code.Info().Status {
				t.Errorf("status = %d, want %d", answer.StatusCode, hostile.Code.Info().Status)
			}
			text := id.ReplaceAllString(read(t, answer), "")
			if first, ok := answers[hostile.Code]; ok && first != text {
				t.Errorf("answer %q differs from %q", text, first)
			}
			answers[hostile.Code] = text
			for _, e := range w.trail.recorded()[before:] {
				if e.Outcome != audit.Denied || e.Reason != string(hostile.Reason) {
					t.Errorf("audit = %+v", e)
				}
			}
		})
	}
	if len(answers) != 3 {
		t.Errorf("answers = %v, want one for each of three codes", answers)
	}
	for _, e := range w.trail.recorded() {
		if e.Outcome == audit.Allowed {
			t.Errorf("a hostile token was recorded as allowed: %+v", e)
		}
	}
	for _, part := range []string{"eyJ", canary} {
		if strings.Contains(w.logs.String(), part) {
			t.Errorf("the log contains %q of a token or value", part)
		}
	}
	if n := testutil.ToFloat64(metric(t, w, "lanyard_registry_workload_refusals_total", "review_unbound")); n < 3 {
		t.Errorf("%v refusals of unbound tokens were counted", n)
	}
}

func TestOddRequests(t *testing.T) {
	w := newWorld(t)
	h := w.handler(t)
	good := authntest.Good(w.cluster, "api-1")
	change := func(f func(*http.Request)) *http.Request {
		r := request(good, body(1))
		f(r)
		return r
	}
	long := strings.Repeat(" ", wire.MaxRequestBytes+1) + body(1)
	for name, tc := range map[string]struct {
		request *http.Request
		status  int
		code    wire.Code
	}{
		"another path":                   {change(func(r *http.Request) { r.URL.Path = "/v1/secrets" }), 404, wire.CodeInvalid},
		"a slash too many":               {change(func(r *http.Request) { r.URL.Path += "/" }), 404, wire.CodeInvalid},
		"another case":                   {change(func(r *http.Request) { r.URL.Path = "/V1/Resolve" }), 404, wire.CodeInvalid},
		"the wrong method":               {change(func(r *http.Request) { r.Method = http.MethodGet }), 405, wire.CodeInvalid},
		"no content type":                {change(func(r *http.Request) { r.Header.Del("Content-Type") }), 400, wire.CodeInvalid},
		"a form":                         {change(func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }), 400, wire.CodeInvalid},
		"a declared length over":         {request(good, long), 413, wire.CodeTooLarge},
		"an undeclared length over":      {func() *http.Request { r := request(good, long); r.ContentLength = -1; return r }(), 413, wire.CodeTooLarge},
		"not JSON":                       {request(good, "x"), 400, wire.CodeInvalid},
		"no authorization":               {change(func(r *http.Request) { r.Header.Del("Authorization") }), 401, wire.CodeUnauthenticated},
		"two authorizations":             {change(func(r *http.Request) { r.Header.Add("Authorization", "Bearer "+good) }), 401, wire.CodeUnauthenticated},
		"another scheme":                 {change(func(r *http.Request) { r.Header.Set("Authorization", "Basic "+good) }), 401, wire.CodeUnauthenticated},
		"a token without a scheme":       {change(func(r *http.Request) { r.Header.Set("Authorization", good) }), 401, wire.CodeUnauthenticated},
		"a token behind two spaces":      {change(func(r *http.Request) { r.Header.Set("Authorization", "Bearer  "+good) }), 401, wire.CodeUnauthenticated},
		"a consumer that is not bound":   {request(good, strings.Replace(body(1), "shop/web", "shop/other", 1)), 403, wire.CodeNotBound},
		"an ENV the consumer has not":    {request(good, strings.Replace(body(1), "E0", "NOSUCH", 1)), 424, wire.CodeUnresolved},
		"names asked for with a POST":    {func() *http.Request { r := request(good, ""); r.URL.Path = wire.NamesPath; return r }(), 405, wire.CodeInvalid},
		"names asked for by a workload":  {func() *http.Request { r := request(good, ""); r.Method, r.URL.Path = "GET", wire.NamesPath; return r }(), 401, wire.CodeUnauthenticated},
		"scheme in lower case":           {change(func(r *http.Request) { r.Header.Set("Authorization", "bearer "+good) }), 200, ""},
		"content type with a parameter":  {change(func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=utf-8") }), 200, ""},
		"a forged address of the client": {change(func(r *http.Request) { r.Header.Set("X-Forwarded-For", "6.6.6.6") }), 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			answer := do(h, tc.request)
			if answer.StatusCode != tc.status {
				t.Fatalf("status = %d, want %d: %s", answer.StatusCode, tc.status, read(t, answer))
			}
			if tc.code != "" {
				if p := problem(t, answer); p.Code != tc.code {
					t.Errorf("problem = %+v, want code %s", p, tc.code)
				}
			}
		})
	}
	if strings.Contains(w.logs.String(), "6.6.6.6") {
		t.Error("a header was believed to be the client's address")
	}
	if strings.Contains(w.logs.String(), canary) {
		t.Error("the log contains a value")
	}
}

// fixed is an authenticator and resolver whose answers are given.
type fixed struct {
	authErr, nodeErr error
	refusal          *resolve.Refusal
	work             func(ctx context.Context)
}

func (f *fixed) Workload(ctx context.Context, _ string) (authn.Principal, error) {
	if f.work != nil {
		f.work(ctx)
	}
	return authn.Principal{Namespace: "billing", ServiceAccount: "api", Pod: "api-1", PodUID: "u1"}, f.authErr
}

func (f *fixed) Injector(ctx context.Context, token string) (authn.Principal, error) {
	return f.Workload(ctx, token)
}

func (f *fixed) CheckNode(context.Context, authn.Principal, []wire.Delivery) error { return f.nodeErr }

func (f *fixed) Owns(context.Context, authn.Principal, string, string) error { return nil }

func (f *fixed) Resolve(context.Context, resolve.Call, resolve.Request) (*wire.ResolveResponse, *resolve.Refusal) {
	if f.refusal != nil {
		return nil, f.refusal
	}
	return &wire.ResolveResponse{}, nil
}

func (f *fixed) handler(t testing.TB, w *world) http.Handler {
	w.config.Authenticator, w.config.Resolver = f, f
	return w.handler(t)
}

func TestTroubleIsAskedToComeBackLaterAndDenialsAreNot(t *testing.T) {
	for name, tc := range map[string]struct {
		fixed  fixed
		status int
		denied int // audit events
	}{
		"the API server is down":       {fixed{authErr: &authn.Error{Code: wire.CodeAuthUnavailable, Message: "m", Reason: authn.ReviewUnavailable, Err: errors.New("refused")}}, 503, 0},
		"too many reviews":             {fixed{authErr: &authn.Error{Code: wire.CodeOverloaded, Message: "m", Reason: authn.Overloaded}}, 429, 0},
		"an unknown error":             {fixed{authErr: errors.New("odd")}, 500, 0},
		"the pod is going":             {fixed{authErr: &authn.Error{Code: wire.CodePodNotEligible, Message: "m", Reason: authn.PodTerminating}}, 409, 1},
		"the node is old":              {fixed{nodeErr: &authn.Error{Code: wire.CodeNodeUnsupported, Message: "m", Reason: authn.NodeUnsupported}}, 409, 1},
		"the node cannot be asked for": {fixed{nodeErr: &authn.Error{Code: wire.CodeAuthUnavailable, Message: "m", Reason: authn.NodeUnavailable}}, 503, 0},
		"etcd is down":                 {fixed{refusal: &resolve.Refusal{Problem: wire.Problem{Code: wire.CodeStoreUnavailable, Message: "m"}}}, 503, 0},
		"the audit log is down":        {fixed{refusal: &resolve.Refusal{Problem: wire.Problem{Code: wire.CodeAuditUnavailable, Message: "m"}}}, 503, 0},
		"a key is missing":             {fixed{refusal: &resolve.Refusal{Problem: wire.Problem{Code: wire.CodeKeyUnavailable, Message: "m"}}}, 503, 0},
		"not bound":                    {fixed{refusal: &resolve.Refusal{Problem: wire.Problem{Code: wire.CodeNotBound, Message: "m"}}}, 403, 0}, // the resolver records it
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			answer := do(tc.fixed.handler(t, w), request("x", body(1)))
			if answer.StatusCode != tc.status {
				t.Fatalf("status = %d, want %d", answer.StatusCode, tc.status)
			}
			later := answer.Header.Get("Retry-After")
			if (tc.status == 503 || tc.status == 429) != (later != "") || later == "0" {
				t.Errorf("Retry-After = %q", later)
			}
			if n := len(w.trail.recorded()); n != tc.denied {
				t.Errorf("%d denials recorded, want %d", n, tc.denied)
			}
			if problem(t, answer).Code == wire.CodeInternal && !strings.Contains(w.logs.String(), "odd") {
				t.Error("an unknown error is not in the log")
			}
		})
	}
}

func TestWithoutAClusterTheAnswerSaysSo(t *testing.T) {
	w := newWorld(t)
	w.config.Authenticator = authn.Off{}
	answer := do(w.handler(t), request("x", body(1)))
	if p := problem(t, answer); answer.StatusCode != 503 || p.Code != wire.CodeAuthUnavailable || !strings.Contains(p.Message, "without a Kubernetes cluster") {
		t.Errorf("status %d: %+v", answer.StatusCode, p)
	}
}

func TestAnAuditLogThatFailsReleasesNothing(t *testing.T) {
	w := newWorld(t)
	h := w.handler(t)
	w.trail.err = errors.New("no space left on device")
	answer := do(h, request(authntest.Good(w.cluster, "api-1"), body(2)))
	text := read(t, answer)
	if answer.StatusCode != 503 || !strings.Contains(text, "audit_unavailable") || strings.Contains(text, "envs") {
		t.Errorf("status %d: %s", answer.StatusCode, text)
	}
	if answer := do(h, request("x", body(1))); answer.StatusCode != 401 {
		t.Errorf("a denial that could not be recorded became status %d", answer.StatusCode)
	}
}

func TestAPanicIsOneInternalErrorWithItsStackInTheLog(t *testing.T) {
	for name, cause := range map[string]any{"a value in it": canary, "an error": errors.New(canary), "net/http's own": http.ErrAbortHandler} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			f := &fixed{work: func(context.Context) { panic(cause) }}
			h := f.handler(t, w)
			answer := do(h, request("x", body(1)))
			if p := problem(t, answer); answer.StatusCode != 500 || p.Code != wire.CodeInternal || p.Message != "internal error" {
				t.Errorf("status %d: %+v", answer.StatusCode, p)
			}
			if log := w.logs.String(); !strings.Contains(log, "resolve_test.go") || strings.Contains(log, canary) {
				t.Errorf("the log lacks the stack or has the panic's text: %s", log)
			}
			f.work = nil
			if answer := do(h, request("x", body(1))); answer.StatusCode != 200 {
				t.Errorf("the next request: status %d", answer.StatusCode)
			}
		})
	}
}

func TestMoreRequestsThanTheLimitAreToldToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fixed{work: func(ctx context.Context) {
			select {
			case <-time.After(5 * time.Second):
			case <-ctx.Done():
			}
		}}
		h, err := workloadapi.New(workloadapi.Config{
			Authenticator: f, Resolver: f, Denied: audit.NewDenials((&trail{}).Record, nil), Concurrency: 2,
			Names: func(context.Context) <-chan workloadapi.Change { return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		count := map[int]int{}
		for range 10 {
			all.Go(func() {
				start := time.Now()
				answer := do(h, request("x", body(1)))
				mu.Lock()
				defer mu.Unlock()
				count[answer.StatusCode]++
				if answer.StatusCode == 429 && time.Since(start) != time.Second {
					t.Errorf("refused after %v", time.Since(start))
				}
			})
		}
		all.Wait()
		if diff := cmp.Diff(map[int]int{200: 2, 429: 8}, count); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAPodHasABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fixed{}
		log := &trail{}
		h, err := workloadapi.New(workloadapi.Config{
			Authenticator: f, Resolver: f, Denied: audit.NewDenials(log.Record, nil), Budget: 3,
			Names: func(context.Context) <-chan workloadapi.Change { return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		status := func() int { return do(h, request("x", body(1))).StatusCode }
		f.refusal = &resolve.Refusal{Problem: wire.Problem{Code: wire.CodeStoreUnavailable}}
		for range 10 {
			status() // tries that release nothing cost nothing
		}
		f.refusal = nil
		got := []int{status(), status(), status(), status()}
		time.Sleep(time.Hour)
		got = append(got, status())
		if diff := cmp.Diff([]int{200, 200, 200, 429, 200}, got); diff != "" {
			t.Error(diff)
		}
		if len(log.events) != 1 || log.events[0].Reason != "budget_exceeded" {
			t.Errorf("audit = %+v", log.events)
		}
	})
}

// keeper keeps the slice it was given to write.
type keeper struct {
	*httptest.ResponseRecorder
	last []byte
}

func (k *keeper) Write(p []byte) (int, error) {
	k.last = p
	return k.ResponseRecorder.Write(p)
}

func TestTheAnswerIsWipedAfterItWasWritten(t *testing.T) {
	w := newWorld(t)
	k := &keeper{ResponseRecorder: httptest.NewRecorder()}
	w.handler(t).ServeHTTP(k, request(authntest.Good(w.cluster, "api-1"), body(1)))
	if k.Code != 200 || len(k.last) == 0 {
		t.Fatalf("status %d", k.Code)
	}
	for _, b := range k.last {
		if b != 0 {
			t.Fatal("the buffer still holds the answer")
		}
	}
}
