// SPDX-License-Identifier: Apache-2.0

package injector

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"

	"github.com/lanyard-dev/lanyard/injector/admission"
	"github.com/lanyard-dev/lanyard/internal/logtest"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// apiServer is as much of an API server as the injector may use: everything else is an error of the test.
type apiServer struct {
	t       *testing.T
	mu      sync.Mutex
	secret  []byte
	webhook []byte
}

func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	const secrets, webhook = "/api/v1/namespaces/lanyard/secrets", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/lanyard-injector"
	w.Header().Set("Content-Type", "application/json")
	switch r.Method + " " + r.URL.Path {
	case "GET /version":
		_ = json.NewEncoder(w).Encode(version.Info{Major: "1", Minor: "37+", GitVersion: "v1.37.2"})
	case "POST /api/v1/namespaces/lanyard/podtemplates":
		if r.URL.Query().Get("dryRun") != "All" {
			a.t.Error("the canary was not a dry run")
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(body)
	case "GET " + secrets + "/lanyard-injector-ca":
		if a.secret == nil {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
			return
		}
		_, _ = w.Write(a.secret)
	case "POST " + secrets:
		a.secret = body
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(body)
	case "GET /api/v1/nodes":
		if r.URL.Query().Get("watch") != "" {
			a.mu.Unlock() // the watch lasts
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			a.mu.Lock()
			return
		}
		_, _ = io.WriteString(w, `{"kind":"NodeList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[{"metadata":{"name":"n"},"status":{"nodeInfo":{"operatingSystem":"linux","kubeletVersion":"v1.37.2",
			"containerRuntimeVersion":"containerd://2.4.2"}}}]}`)
	case "GET " + webhook:
		_, _ = w.Write(a.webhook)
	case "PATCH " + webhook:
		p, err := jsonpatch.DecodePatch(body)
		if err == nil {
			a.webhook, err = p.Apply(a.webhook)
		}
		if err != nil {
			a.t.Errorf("patching the webhook: %v", err)
		}
		_, _ = w.Write(a.webhook)
	case "POST /apis/events.k8s.io/v1/namespaces/shop/events":
		_, _ = w.Write(body)
	default:
		a.t.Errorf("the injector called %s %s", r.Method, r.URL.Path)
		w.WriteHeader(http.StatusForbidden)
	}
}

func (a *apiServer) bundle() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	var config struct {
		Webhooks []struct{ ClientConfig struct{ CABundle []byte } }
	}
	if err := json.Unmarshal(a.webhook, &config); err != nil {
		a.t.Error(err)
	}
	return config.Webhooks[0].ClientConfig.CABundle
}

// listen returns a listener on loopback.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// until polls until check holds.
func until(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !check(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func TestAnInjectorFromStartToDrain(t *testing.T) {
	api := &apiServer{t: t, webhook: []byte(`{"kind":"MutatingWebhookConfiguration","apiVersion":"admissionregistration.k8s.io/v1","metadata":{"name":"lanyard-injector","resourceVersion":"7"},"webhooks":[{"name":"inject.lanyard.dev","clientConfig":{}}]}`)}
	apiHTTP := httptest.NewServer(api)
	defer apiHTTP.Close()

	release := make(chan struct{})
	registry := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
			return
		}
		encoder := json.NewEncoder(w)
		_ = encoder.Encode(wire.NamesEvent{Type: wire.NamesPut, Consumer: &wire.ConsumerNames{
			Ref: "acme/web", Envs: []wire.EnvName{{Name: "API_KEY"}}, Bindings: []wire.Binding{{Namespace: "shop", ServiceAccount: "web"}},
		}})
		_ = encoder.Encode(wire.NamesEvent{Type: wire.NamesSynced})
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer registry.Close()

	dir := t.TempDir()
	caFile, tokenFile := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "token")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: registry.Certificate().Raw})
	for path, text := range map[string][]byte{caFile: ca, tokenFile: []byte("token")} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := ParseFlags([]string{
		"--namespace=lanyard", "--registry-url=" + registry.URL, "--registry-server-name=example.com", "--registry-ca-file=" + caFile, "--registry-token-file=" + tokenFile,
		"--agent-image=agent:1", "--shutdown-delay=200ms",
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var log logtest.Buffer
	cfg.Kubernetes, cfg.Log = &rest.Config{Host: apiHTTP.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}, slog.New(slog.NewJSONHandler(&log, nil))
	i, err := build(cfg)
	if err != nil {
		t.Fatal(err)
	}
	webhook, health := listen(t), listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer func() {
		cancel()
		registry.CloseClientConnections()
		if t.Failed() {
			t.Log(log.String())
		}
	}()
	done := make(chan error, 1)
	go func() { done <- i.serve(ctx, webhook, health) }()

	get := func(path string) (int, string) {
		response, err := http.Get("http://" + health.Addr().String() + path)
		if err != nil {
			return 0, err.Error()
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(body)
	}
	until(t, "the certificate is trusted", func() bool { return len(api.bundle()) > 0 && i.cert.Ready() == nil && i.versioned.Load() })
	until(t, "the nodes are known", func() bool { _, known := i.nodes.Summary(); return known })
	if code, body := get("/readyz"); code != http.StatusServiceUnavailable || body != "names: never received from the secret registry\n" {
		t.Errorf("/readyz before the names: %d %q", code, body)
	}

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(api.bundle())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "lanyard-injector.lanyard.svc"}}} // HTTP/1.1, as API servers ask webhooks
	defer client.CloseIdleConnections()
	last := false // whether the answer ended its connection
	reviewOf := func(annotations, fields string) string {
		t.Helper()
		response, err := client.Post("https://"+webhook.Addr().String()+admission.Path, "application/json", strings.NewReader(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u",
			"kind":{"group":"","version":"v1","kind":"Pod"},"namespace":"shop","operation":"CREATE","object":{"metadata":{"labels":{"lanyard.dev/inject":"true"},"annotations":{`+annotations+`"lanyard.dev/consumer":"acme/web"}},
			"spec":{"serviceAccountName":"web","containers":[{"name":"app"`+fields+`}]}}}}`))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		last = response.Close
		var answer struct {
			Response struct {
				Patch  []byte
				Status struct{ Message string }
			}
		}
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return string(answer.Response.Patch) + answer.Response.Status.Message
	}
	review := func() string { t.Helper(); return reviewOf("", "") }
	if got := review(); !strings.Contains(got, "names_unavailable") {
		t.Errorf("before the names: %s", got)
	}
	close(release)
	until(t, "the injector is ready", func() bool { code, _ := get("/readyz"); return code == http.StatusOK })
	if got := review(); !strings.Contains(got, `"key":"API_KEY"`) {
		t.Errorf("patch: %s", got)
	}

	if got := reviewOf(`"lanyard.dev/delivery":"direct",`, `,"command":["app"]`); !strings.Contains(got, `"image":{"reference":"agent:1"`) { // as the nodes can mount images
		t.Errorf("patch of the direct delivery: %s", got)
	}

	rotated := append(bytes.Clone(ca), "# rotated\n"...)
	if err := os.WriteFile(caFile, rotated, 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "pods get the new CA", func() bool { return strings.Contains(review(), "# rotated") })
	if _, metrics := get("/metrics"); !strings.Contains(metrics, `lanyard_injector_admissions_total{decision="injected",reason="injected"}`) || !strings.Contains(metrics, "lanyard_injector_names_consumers 1") ||
		!strings.Contains(metrics, "lanyard_injector_nodes 1") || !strings.Contains(metrics, `lanyard_injector_nodes_incapable{capability="image_volumes"} 0`) {
		t.Errorf("metrics: %s", metrics)
	}

	if last {
		t.Error("a connection was not kept")
	}
	cancel()
	until(t, "the injector is unready", func() bool {
		code, body := get("/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "draining")
	})
	if got := review(); !strings.Contains(got, "API_KEY") || !last { // the API server has not noticed yet
		t.Errorf("while draining: last %v: %s", last, got)
	}
	if err := <-done; err != nil {
		t.Errorf("end: %v", err)
	}
	if strings.Contains(log.String(), "PRIVATE") {
		t.Errorf("log: %s", log.String())
	}
}

func TestFlagsAreChecked(t *testing.T) {
	good := []string{"--namespace=lanyard", "--registry-url=https://registry", "--registry-ca-file=ca.crt", "--agent-image=agent"}
	if _, err := ParseFlags(good, io.Discard); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"a missing namespace":    good[1:],
		"a missing CA":           {good[0], good[1], good[3]},
		"a missing image":        good[:3],
		"plain http":             append(good[:3:3], "--agent-image=agent", "--registry-url=http://registry"),
		"an unknown flag":        append(good[:4:4], "--frobnicate"),
		"an argument":            append(good[:4:4], "serve"),
		"a malformed quantity":   append(good[:4:4], "--agent-cpu-limit=much"),
		"a negative quantity":    append(good[:4:4], "--agent-memory-limit=-1"),
		"an endless deadline":    append(good[:4:4], "--agent-deadline=24h"),
		"an unknown log level":   append(good[:4:4], "--log-level=chatty"),
		"an unknown pull policy": append(good[:4:4], "--agent-image-pull-policy=Perhaps"),
	} {
		if _, err := ParseFlags(args, io.Discard); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	var help bytes.Buffer
	if _, err := ParseFlags([]string{"-help"}, &help); err == nil {
		t.Error("help is no reason to serve")
	}
	for _, name := range []string{"webhook-address", "metrics-address", "registry-url", "registry-ca-file", "agent-image", "shutdown-delay", "ca-secret"} {
		if !strings.Contains(help.String(), "-"+name) {
			t.Errorf("help does not name -%s", name)
		}
	}
}
