// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/lanyard-dev/lanyard/injector/mutate"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

type planFunc func(*mutate.Pod, string) mutate.Plan

func (f planFunc) Plan(pod *mutate.Pod, namespace string, _ bool) (mutate.Plan, func(context.Context) mutate.Plan) {
	return f(pod, namespace), nil
}

type oneConsumer struct{}

func (oneConsumer) Lookup(name string) (*wire.ConsumerNames, bool) {
	c := &wire.ConsumerNames{Ref: name, Bindings: []wire.Binding{{Namespace: "shop", ServiceAccount: "web"}}}
	for _, env := range []string{"DB_HOST", "DB_USER", "DB_PASSWORD", "API_KEY", "QUEUE_URL", "SMTP_USER", "SMTP_PASSWORD", "SENTRY_DSN", "SIGNING_KEY", "LICENSE"} {
		c.Envs = append(c.Envs, wire.EnvName{Name: env})
	}
	return c, name == "acme/web"
}

func (oneConsumer) Secret(string) (*wire.SecretNames, bool) { return nil, false }

func realPlanner(t testing.TB) Planner {
	t.Helper()
	m, err := mutate.New(mutate.Config{Image: "agent", URL: "https://registry", CA: "pem"})
	if err != nil {
		t.Fatal(err)
	}
	return planFunc(func(pod *mutate.Pod, namespace string) mutate.Plan { return m.Plan(pod, namespace, oneConsumer{}) })
}

func newHandler(planner Planner) (*Handler, *prometheus.Registry) {
	r := prometheus.NewPedanticRegistry()
	return NewHandler(Config{Planner: planner, Metrics: NewMetrics(r)}), r
}

func post(h http.Handler, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, Path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const reviewOf = `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u1","kind":{"group":"","version":"v1","kind":"Pod"},
	"resource":{"group":"","version":"v1","resource":"pods"},"namespace":"shop","operation":"CREATE","object":%s,"dryRun":false}}`

const optedIn = `{"metadata":{"name":"web","labels":{"lanyard.dev/inject":"true"},"annotations":{"lanyard.dev/consumer":"acme/web"}},"spec":{"serviceAccountName":"web","containers":[{"name":"app"}]}}`

func answer(t testing.TB, w *httptest.ResponseRecorder) *admissionv1.AdmissionResponse {
	t.Helper()
	var review admissionv1.AdmissionReview
	d := json.NewDecoder(w.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&review); err != nil {
		t.Fatalf("answer %d: %v", w.Code, err)
	}
	if review.APIVersion != apiVersion || review.Kind != kindReview || review.Response == nil || review.Response.UID != "u1" {
		t.Fatalf("answer = %+v", review)
	}
	return review.Response
}

func TestReviewsAreAnsweredWithReviews(t *testing.T) {
	object := func(o string) string { return strings.Replace(reviewOf, "%s", o, 1) }
	for name, tc := range map[string]struct {
		body    string
		allowed bool
		patched bool
		code    int32
		text    string // in the message or a warning
	}{
		"a pod that opted in is patched":     {body: object(optedIn), allowed: true, patched: true},
		"a dry run is answered like any":     {body: strings.Replace(object(optedIn), `"dryRun":false`, `"dryRun":true`, 1), allowed: true, patched: true},
		"a pod that did not is let through":  {body: object(`{"metadata":{},"spec":{}}`), allowed: true, text: "does not carry the label"},
		"an update is let through":           {body: strings.Replace(object(optedIn), "CREATE", "UPDATE", 1), allowed: true, text: "does not create a pod"},
		"a subresource is let through":       {body: strings.Replace(object(optedIn), `"namespace"`, `"subResource":"eviction","namespace"`, 1), allowed: true, text: "does not create a pod"},
		"another kind is let through":        {body: strings.Replace(object(optedIn), `"kind":"Pod"`, `"kind":"ReplicationController"`, 1), allowed: true, text: "does not create a pod"},
		"a consumer that is not ours":        {body: strings.Replace(object(optedIn), "acme/web", "acme/other", 1), code: 403, text: "acme/other"},
		"a pod that cannot be read":          {body: object(`{"metadata":{"labels":{"lanyard.dev/inject":1}}}`), code: 403, text: "malformed_review"},
		"a pod that makes planning panic":    {body: strings.Replace(object(optedIn), `"web"`, `"panic"`, 1), code: 503, text: "unexpected error"},
		"a service account without bindings": {body: strings.Replace(object(optedIn), `Name":"web"`, `Name":"x"`, 1), code: 403, text: "shop/x"},
	} {
		t.Run(name, func(t *testing.T) {
			inner := realPlanner(t)
			h, _ := newHandler(planFunc(func(pod *mutate.Pod, namespace string) mutate.Plan {
				if pod.Metadata.Name == "panic" {
					panic("boom")
				}
				plan, _ := inner.Plan(pod, namespace, false)
				return plan
			}))
			w := post(h, tc.body)
			if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("HTTP %d, %v", w.Code, w.Header())
			}
			got := answer(t, w)
			if got.Allowed != tc.allowed || (got.Patch != nil) != tc.patched {
				t.Errorf("allowed %t, patch %s", got.Allowed, got.Patch)
			}
			text := strings.Join(got.Warnings, " ")
			if got.Result != nil {
				text += got.Result.Message
				if got.Result.Code != tc.code || len(got.Result.Details.Causes) == 0 {
					t.Errorf("status = %+v, want code %d", got.Result, tc.code)
				}
			}
			if !strings.Contains(text, tc.text) {
				t.Errorf("the text %q does not say %q", text, tc.text)
			}
		})
	}
}

func TestWhatIsNoReviewIsRejected(t *testing.T) {
	h, _ := newHandler(realPlanner(t))
	for name, tc := range map[string]struct {
		method, media, body string
		want                int
	}{
		"get":              {method: http.MethodGet, media: "application/json", want: 405},
		"form":             {media: "application/x-www-form-urlencoded", body: "a=b", want: 415},
		"no JSON":          {media: "application/json", body: "{", want: 400},
		"nothing":          {media: "application/json", body: "", want: 400},
		"other version":    {media: "application/json", body: strings.Replace(reviewOf, "/v1", "/v1beta1", 1), want: 400},
		"no request":       {media: "application/json", body: `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`, want: 400},
		"too large":        {media: "application/json; charset=utf-8", body: strings.Repeat(" ", MaxBodyBytes+1), want: 413},
		"deeper than deep": {media: "application/json", body: strings.Repeat("[", 1<<20), want: 400},
	} {
		t.Run(name, func(t *testing.T) {
			method := tc.method
			if method == "" {
				method = http.MethodPost
			}
			r := httptest.NewRequest(method, Path, strings.NewReader(tc.body))
			r.Header.Set("Content-Type", tc.media)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tc.want {
				t.Errorf("HTTP %d %s, want %d", w.Code, w.Body, tc.want)
			}
		})
	}
}

func TestReviewsBeyondTheConcurrencyWaitForTheirTurn(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	h := NewHandler(Config{Concurrency: 1, Metrics: NewMetrics(prometheus.NewPedanticRegistry()), Planner: planFunc(func(*mutate.Pod, string) mutate.Plan {
		entered <- struct{}{}
		<-leave
		return mutate.Plan{Decision: mutate.Unchanged, Reason: mutate.ReasonInjected}
	})})
	body := strings.Replace(reviewOf, "%s", optedIn, 1)
	done := make(chan int, 1)
	go func() { done <- post(h, body).Code }()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, Path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusServiceUnavailable {
		t.Errorf("second review: HTTP %d", w.Code)
	}
	leave <- struct{}{}
	if code := <-done; code != http.StatusOK {
		t.Errorf("first review: HTTP %d", code)
	}
}

func TestTheLogHoldsNothingOfThePodButItsName(t *testing.T) {
	var log bytes.Buffer
	h := NewHandler(Config{Planner: realPlanner(t), Metrics: NewMetrics(prometheus.NewPedanticRegistry()), Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	pod := strings.Replace(optedIn, `{"name":"app"}`, `{"name":"app","env":[{"name":"DB_PASSWORD","value":"canary-9f2c"}]}`, 1)
	post(h, strings.Replace(reviewOf, "%s", pod, 1))
	if !strings.Contains(log.String(), `"reason":"env_conflict"`) || strings.Contains(log.String(), "canary") {
		t.Errorf("log: %s", log.String())
	}
}

func TestEveryReasonHasItsMetric(t *testing.T) {
	_, registry := newHandler(realPlanner(t))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "lanyard_injector_admissions_total" && len(f.GetMetric()) != len(mutate.Reasons)+1 {
			t.Errorf("%d series, want %d", len(f.GetMetric()), len(mutate.Reasons)+1)
		}
	}
}

func FuzzReview(f *testing.F) {
	f.Add(strings.Replace(reviewOf, "%s", optedIn, 1))
	f.Add(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u","object":null}}`)
	h, _ := newHandler(realPlanner(f))
	f.Fuzz(func(t *testing.T, body string) {
		w := post(h, body)
		if w.Code == http.StatusOK && !json.Valid(w.Body.Bytes()) {
			t.Errorf("the answer is no JSON: %s", w.Body)
		}
	})
}

// benchReview is a review of about 8 KB, as the API server sends it for a pod of a typical Deployment.
func benchReview(b *testing.B) []byte {
	b.Helper()
	text, err := os.ReadFile("testdata/review-8k.json")
	if err != nil {
		b.Fatal(err)
	}
	return text
}

func BenchmarkReview(b *testing.B) {
	h, _ := newHandler(realPlanner(b))
	h.cfg.Log = slog.New(slog.NewJSONHandler(io.Discard, nil))
	body := benchReview(b)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := discard{header: http.Header{}}
		if h.ServeHTTP(&w, r); w.n < 1000 {
			b.Fatalf("answer of %d bytes", w.n)
		}
	}
}

// BenchmarkDecodeOurs and BenchmarkDecodeCorev1 compare decoding the fields that are read with decoding everything into the API's structs.
func BenchmarkDecodeOurs(b *testing.B) {
	body := benchReview(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeCorev1(b *testing.B) {
	body := benchReview(b)
	b.ReportAllocs()
	for b.Loop() {
		var review admissionv1.AdmissionReview
		var pod corev1.Pod
		if err := json.Unmarshal(body, &review); err != nil {
			b.Fatal(err)
		}
		if err := json.Unmarshal(review.Request.Object.Raw, &pod); err != nil {
			b.Fatal(err)
		}
	}
}

type discard struct {
	header http.Header
	n      int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(b []byte) (int, error) { d.n += len(b); return len(b), nil }

// heard keeps what became of pods.
type heard []string

func (h *heard) Decided(pod *mutate.Pod, namespace string, plan *mutate.Plan) {
	*h = append(*h, namespace+"/"+pod.Metadata.Name+" "+string(plan.Reason))
}

func TestADryRunIsNotTold(t *testing.T) {
	var got heard
	h := NewHandler(Config{Planner: realPlanner(t), Metrics: NewMetrics(prometheus.NewPedanticRegistry()), Events: &got})
	refused := strings.Replace(fmt.Sprintf(reviewOf, optedIn), "acme/web", "acme/nothing", 1)
	for _, body := range []string{refused, strings.Replace(refused, `"dryRun":false`, `"dryRun":true`, 1), strings.Replace(refused, "CREATE", "UPDATE", 1)} {
		post(h, body)
	}
	if len(got) != 1 || got[0] != "shop/web not_bound" {
		t.Errorf("told of %q", got)
	}
}
