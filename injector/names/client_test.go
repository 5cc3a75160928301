// SPDX-License-Identifier: Apache-2.0

package names

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

func put(ref string, envs ...string) wire.NamesEvent {
	c := &wire.ConsumerNames{Ref: ref}
	for _, name := range envs {
		c.Envs = append(c.Envs, wire.EnvName{Name: name})
	}
	return wire.NamesEvent{Type: wire.NamesPut, Consumer: c}
}

func deletion(ref string) wire.NamesEvent {
	return wire.NamesEvent{Type: wire.NamesDelete, Consumer: &wire.ConsumerNames{Ref: ref}}
}

var synced, ping = wire.NamesEvent{Type: wire.NamesSynced}, wire.NamesEvent{Type: wire.NamesPing}

// registry is the other end of the streams a client opens in a synctest bubble.
type registry struct {
	t       *testing.T
	current atomic.Pointer[io.PipeWriter]
	opened  atomic.Int32
	down    atomic.Bool
}

func (r *registry) open(ctx context.Context) (*stream, error) {
	r.opened.Add(1)
	if r.down.Load() {
		return nil, errors.New("connection refused")
	}
	reader, writer := io.Pipe()
	r.current.Store(writer)
	stop := context.AfterFunc(ctx, func() { _ = writer.CloseWithError(ctx.Err()) })
	return &stream{lines: bufio.NewScanner(reader), close: func() { stop(); _ = reader.Close() }}, nil
}

func (r *registry) send(events ...wire.NamesEvent) {
	r.t.Helper()
	synctest.Wait()
	for _, event := range events {
		line, err := json.Marshal(event)
		if err != nil {
			r.t.Fatal(err)
		}
		if _, err := r.current.Load().Write(append(line, '\n')); err != nil {
			r.t.Fatal(err)
		}
	}
	synctest.Wait()
}

// inBubble runs a client against a registry within a synctest bubble.
func inBubble(t *testing.T, test func(*registry, *Client)) {
	synctest.Test(t, func(t *testing.T) {
		r := &registry{t: t}
		c := New(Config{})
		c.open = r.open
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { c.Run(ctx); close(done) }()
		synctest.Wait()
		test(r, c)
		cancel()
		<-done
	})
}

func (c *Client) has(ref string) bool {
	v := c.View()
	if v == nil {
		return false
	}
	_, ok := v.Lookup(ref)
	return ok
}

func TestThereIsNoViewBeforeTheFirstStreamIsComplete(t *testing.T) {
	inBubble(t, func(r *registry, c *Client) {
		r.send(put("acme/web", "A"))
		if c.View() != nil || c.Status().Synced {
			t.Error("an incomplete view is visible")
		}
		r.send(synced)
		if !c.has("acme/web") || !c.Status().Connected || c.Status().Consumers != 1 {
			t.Errorf("status after synced = %+v", c.Status())
		}
	})
}

func TestChangesApplyAsTheyHappen(t *testing.T) {
	inBubble(t, func(r *registry, c *Client) {
		r.send(put("acme/web", "A"), put("acme/gone", "B"), synced, put("acme/web", "A", "C"), deletion("acme/gone"), deletion("acme/never"), ping, wire.NamesEvent{Type: "of a newer registry"})
		web, ok := c.View().Lookup("acme/web")
		if !ok || len(web.Envs) != 2 {
			t.Errorf("acme/web = %+v", web)
		}
		if c.has("acme/gone") || c.Status().Consumers != 1 {
			t.Errorf("the deleted consumer is still there: %+v", c.Status())
		}
	})
}

func TestSecretsComeAndGoLikeConsumers(t *testing.T) {
	grant := func(ref string) wire.NamesEvent {
		return wire.NamesEvent{Type: wire.NamesPutSecret, Secret: &wire.SecretNames{Ref: ref, Grants: []wire.Binding{{Namespace: "shop", ServiceAccount: "web"}}}}
	}
	inBubble(t, func(r *registry, c *Client) {
		r.send(grant("acme/stripe"), grant("acme/gone"), synced, wire.NamesEvent{Type: wire.NamesDeleteSecret, Secret: &wire.SecretNames{Ref: "acme/gone"}})
		if s, ok := c.View().Secret("acme/stripe"); !ok || len(s.Grants) != 1 {
			t.Errorf("acme/stripe = %+v", s)
		}
		if _, ok := c.View().Secret("acme/gone"); ok {
			t.Error("the secret that is gone is still there")
		}
		if c.has("acme/stripe") || c.Status().Consumers != 0 {
			t.Error("a secret counts as a consumer")
		}
		before := r.opened.Load()
		r.send(wire.NamesEvent{Type: wire.NamesPutSecret})
		time.Sleep(time.Minute)
		if r.opened.Load() == before {
			t.Error("an event that says nothing is taken for one")
		}
	})
}

func TestADeletionMissedWhileDisconnectedIsNotMissed(t *testing.T) {
	inBubble(t, func(r *registry, c *Client) {
		r.send(put("acme/kept"), put("acme/deleted"), synced)
		_ = r.current.Load().Close()
		synctest.Wait()
		if !c.has("acme/deleted") || c.Status().Connected {
			t.Errorf("the last complete view is gone, or taken for fresh: %+v", c.Status())
		}
		time.Sleep(time.Minute)
		r.send(put("acme/kept"))
		if !c.has("acme/deleted") {
			t.Error("an incomplete stream replaced the view")
		}
		r.send(synced)
		if c.has("acme/deleted") || !c.has("acme/kept") {
			t.Error("the complete stream did not replace the view")
		}
	})
}

func TestASilentStreamIsGivenUp(t *testing.T) {
	inBubble(t, func(r *registry, c *Client) {
		r.send(synced)
		for range 10 {
			time.Sleep(2 * wire.NamesPingInterval)
			r.send(ping)
		}
		if r.opened.Load() != 1 {
			t.Fatalf("%d streams were opened while pings arrived", r.opened.Load())
		}
		time.Sleep(3*wire.NamesPingInterval + 2*time.Second)
		if synctest.Wait(); r.opened.Load() != 2 {
			t.Errorf("%d streams were opened after the silence, want 2", r.opened.Load())
		}
	})
}

func TestAMalformedEventEndsTheStream(t *testing.T) {
	for name, line := range map[string]string{
		"not JSON":          "{",
		"put of nothing":    `{"type":"put"}`,
		"delete of nothing": `{"type":"delete","consumer":{"ref":""}}`,
		"an endless line":   strings.Repeat("x", bufio.MaxScanTokenSize+1),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *registry, c *Client) {
				r.send(put("acme/web"), synced)
				_, _ = r.current.Load().Write([]byte(line + "\n"))
				synctest.Wait()
				if c.Status().Connected || !c.has("acme/web") {
					t.Errorf("status = %+v", c.Status())
				}
			})
		})
	}
}

func TestAttemptsAreFewWhileTheRegistryIsAway(t *testing.T) {
	inBubble(t, func(r *registry, c *Client) {
		r.send(synced)
		r.down.Store(true)
		_ = r.current.Load().Close()
		time.Sleep(time.Hour)
		synctest.Wait()
		if r.opened.Load() < 60 || r.opened.Load() > 600 {
			t.Errorf("%d attempts in an hour", r.opened.Load())
		}
		r.down.Store(false)
		tried := r.opened.Load()
		for range 60 { // a stream that is not written to is given up after half a minute: write as soon as there is one
			if time.Sleep(time.Second); r.opened.Load() > tried {
				break
			}
		}
		if r.opened.Load() == tried {
			t.Fatal("no attempt within a minute after the registry came back")
		}
		if r.send(synced); !c.Status().Connected {
			t.Error("not connected although the registry is back")
		}
	})
}

func TestStreamsOverTLS(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	tokenFile, caFile := filepath.Join(dir, "token"), filepath.Join(dir, "ca.crt")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tokens := make(chan string, 10)
	events := make(chan string)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokens <- r.Header.Get("Authorization")
		if r.URL.Path != wire.NamesPath || r.Header.Get("Authorization") == "Bearer old" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"code":"unauthenticated","message":"expired"}`)
			return
		}
		w.(http.Flusher).Flush()
		for event := range events {
			_, _ = io.WriteString(w, event+"\n")
			w.(http.Flusher).Flush()
		}
	}))
	defer server.Close()
	write(tokenFile, "old\n")
	write(caFile, "no certificate")
	cfg := Config{URL: server.URL, ServerName: "example.com", CAFile: caFile, TokenFile: tokenFile}
	open := httpOpener(cfg)
	if _, err := open(t.Context()); err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("with an unreadable CA: %v", err)
	}
	write(caFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	_, err := open(t.Context())
	if <-tokens; err == nil || !strings.Contains(err.Error(), "401 unauthenticated: expired") {
		t.Errorf("with an old token: %v", err)
	}
	write(tokenFile, "new")
	s, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := <-tokens; got != "Bearer new" {
		t.Errorf("authorization = %q", got)
	}
	events <- `{"type":"put","consumer":{"ref":"acme/web","bindings":[{"namespace":"shop","service_account":"web"}]}}`
	event, err := s.Next()
	if err != nil || event.Consumer.Bindings[0].ServiceAccount != "web" {
		t.Errorf("event = %+v, %v", event, err)
	}
	close(events)
	if _, err := s.Next(); !errors.Is(err, errEnded) {
		t.Errorf("at the end: %v", err)
	}
	s.Close()

	cfg.ServerName = "elsewhere.example"
	if _, err := httpOpener(cfg)(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate is valid for") {
		t.Errorf("with another server name: %v", err)
	}
}

func TestMetricsAreWellFormed(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(New(Config{}).Collectors()...)
	families, err := r.Gather()
	if err != nil || len(families) != 5 {
		t.Errorf("gathered %d families, %v", len(families), err)
	}
}
