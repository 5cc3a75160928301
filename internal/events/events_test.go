// SPDX-License-Identifier: Apache-2.0

package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// cluster keeps what was posted.
type cluster struct {
	mu      sync.Mutex
	created []eventsv1.Event
	patched []string
	err     error
	hang    chan struct{} // if not nil, requests wait for it
}

func (c *cluster) Create(ctx context.Context, e *eventsv1.Event) error {
	if c.hang != nil {
		<-c.hang
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.created = append(c.created, *e)
	}
	return c.err
}

func (c *cluster) Patch(_ context.Context, namespace, name string, patch []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.patched = append(c.patched, namespace+"/"+name+" "+string(patch))
	return c.err
}

func news(name string) News {
	return News{Regarding: Pod("shop", name, "uid-"+name), Reason: Reason("not_bound"), Action: "Resolve", Note: "no binding [not_bound]"}
}

func run(t *testing.T, config Config) (*Poster, *cluster) {
	t.Helper()
	c, _ := config.API.(*cluster)
	if c == nil {
		c = &cluster{}
		config.API = c
	}
	config.Controller = "lanyard.dev/test"
	p := New(config)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return p, c
}

func results(p *Poster) map[string]float64 {
	out := map[string]float64{}
	for _, result := range []string{resultPosted, resultCounted, resultDropped, resultFailed} {
		if n := testutil.ToFloat64(p.result.WithLabelValues(result)); n != 0 {
			out[result] = n
		}
	}
	return out
}

func TestNewsBecomeAnEventOfTheirObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, c := run(t, Config{Instance: "registry-0"})
		p.Report(news("web"))
		synctest.Wait()
		e := c.created[0]
		if e.Namespace != "shop" || e.Regarding.UID != "uid-web" || e.Reason != "NotBound" || e.Type != corev1.EventTypeWarning || e.Note != "no binding [not_bound]" || e.Action != "Resolve" ||
			e.ReportingController != "lanyard.dev/test" || e.ReportingInstance != "registry-0" || !strings.HasPrefix(e.Name, "web.") || e.EventTime.IsZero() {
			t.Errorf("event %+v", e)
		}
		if diff := cmp.Diff(map[string]float64{"posted": 1}, results(p)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWhatHappensAgainIsCountedInTheSameEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, c := run(t, Config{})
		for range 4 {
			p.Report(news("web"))
			synctest.Wait()
			time.Sleep(40 * time.Second)
		}
		if len(c.created) != 1 || len(c.patched) != 1 || !strings.HasPrefix(c.patched[0], "shop/"+c.created[0].Name+` {"series":{"count":3,`) {
			t.Errorf("created %d, patched %q", len(c.created), c.patched)
		}
		other := news("web")
		other.Reason = "Unresolved"
		p.Report(other)
		p.Report(news("api"))
		time.Sleep(window + time.Second)
		p.Report(news("web"))
		synctest.Wait()
		if len(c.created) != 4 {
			t.Errorf("%d events, want one for each reason, object and window", len(c.created))
		}
	})
}

func TestNobodyWaitsForAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &cluster{hang: make(chan struct{})}
		p, c := run(t, Config{API: api})
		for i := range queueSize + 10 {
			p.Report(news(fmt.Sprint("pod-", i)))
			synctest.Wait()
		}
		if got := results(p)["dropped"]; got != 9 { // one is with the API server
			t.Errorf("%v were dropped, want 9", got)
		}
		close(api.hang)
		began := time.Now()
		for len(p.queue) > 0 {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if took := time.Since(began); took < (queueSize-burst)/perSecond*time.Second-time.Second {
			t.Errorf("%d events were posted within %s", len(c.created), took)
		}
		var none *Poster
		none.Report(news("web"))
	})
}

func TestAnApiServerThatRefusesIsNotAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, c := run(t, Config{API: &cluster{err: errors.New("forbidden")}})
		for range 3 {
			p.Report(news("web"))
			time.Sleep(2 * interval)
		}
		synctest.Wait()
		if len(c.patched) != 0 {
			t.Error("an event that does not exist was counted")
		}
		if diff := cmp.Diff(map[string]float64{"failed": 1, "counted": 2}, results(p)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestNewsCanBeCompletedBeforeTheyArePosted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		owner := Controller("shop", []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "other"}, {APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "rs", Controller: new(true)}})
		p, c := run(t, Config{About: func(_ context.Context, n News) []News {
			asked++
			if n.Regarding.Name == "gone" {
				return nil
			}
			of := n
			of.Regarding, of.Related = *owner, &n.Regarding
			return []News{n, of}
		}})
		for _, name := range []string{"web-1", "web-2", "web-1", "gone", "gone"} {
			p.Report(news(name))
			synctest.Wait()
		}
		var got []string
		for _, e := range c.created {
			got = append(got, e.Regarding.Kind+" "+e.Regarding.Name)
		}
		if diff := cmp.Diff([]string{"Pod web-1", "ReplicaSet web", "Pod web-2"}, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if asked != 3 {
			t.Errorf("asked %d times, want once for each pod", asked)
		}
	})
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	p := New(Config{Controller: "x", Registerer: prometheus.NewRegistry()})
	for i := range 3 * maxSeries {
		p.remember(news(fmt.Sprint(i)), time.Time{})
	}
	if len(p.series) > maxSeries {
		t.Errorf("%d series are remembered", len(p.series))
	}
}

func TestNotesAndReasonsAreWhatTheApiServerTakes(t *testing.T) {
	if got := cut(strings.Repeat("ä", maxNote)); len(got) > maxNote || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
		t.Errorf("note has %d bytes", len(got))
	}
	for code, want := range map[string]string{"not_bound": "NotBound", "unresolved": "Unresolved", "cluster_unsupported": "ClusterUnsupported"} {
		if got := Reason(code); got != want {
			t.Errorf("%s: %s", code, got)
		}
	}
}

func TestTheClientSpeaksToTheEventsAPI(t *testing.T) {
	var got []string
	answer := http.StatusCreated
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var e struct{ Reason, Kind string }
		_ = json.Unmarshal(body, &e)
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s %s %s", r.Method, r.URL.Path, r.Header.Get("Content-Type"), e.Kind, e.Reason)))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(answer)
		_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","code":403,"reason":"Forbidden","status":"Failure","message":"reflected"}`))
	}))
	defer server.Close()
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)
	config := &rest.Config{Host: server.URL}
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	e := &eventsv1.Event{TypeMeta: metav1.TypeMeta{Kind: "Event"}, ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web.1"}, Reason: "NotBound"}
	_ = Client{client}.Create(t.Context(), e)
	_ = Client{client}.Patch(t.Context(), "shop", "web.1", []byte(`{}`))
	want := []string{"POST /apis/events.k8s.io/v1/namespaces/shop/events application/json Event NotBound", "PATCH /apis/events.k8s.io/v1/namespaces/shop/events/web.1 application/merge-patch+json"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	answer = http.StatusForbidden
	if err := (Client{client}).Create(t.Context(), e); err == nil || strings.Contains(err.Error(), "reflected") {
		t.Errorf("error = %v", err)
	}
}
