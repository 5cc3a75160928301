// SPDX-License-Identifier: Apache-2.0

package httpserver_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/internal/httpserver"
)

// start serves until the returned function ends it, which returns Run's error.
func start(t *testing.T, config httpserver.Config, grace time.Duration) (address string, stop func() error) {
	t.Helper()
	config.Name, config.Address = "test", "127.0.0.1:0"
	s, err := httpserver.Listen(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, grace) }()
	t.Cleanup(cancel)
	return s.Addr().String(), func() error { cancel(); return <-done }
}

func get(t *testing.T, address string) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func TestARequestInFlightIsAnsweredAtTheEnd(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	address, stop := start(t, httpserver.Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = w.Write([]byte("whole"))
	})}, time.Minute)
	answered := make(chan string, 1)
	go func() {
		body, _ := get(t, address)
		answered <- body
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	// The listener closes while the request is still being answered.
	for deadline := time.Now().Add(10 * time.Second); ; {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			break
		}
		c.Close()
		if time.Now().After(deadline) {
			t.Fatal("the listener accepts connections after the end began")
		}
	}
	select {
	case err := <-stopped:
		t.Fatalf("Run returned before the request was answered: %v", err)
	default:
	}
	close(release)
	if body := <-answered; body != "whole" {
		t.Errorf("answer = %q", body)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestARequestThatNeverEndsIsCutAfterTheGracePeriod(t *testing.T) {
	entered := make(chan struct{})
	address, stop := start(t, httpserver.Config{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})}, time.Millisecond)
	cut := make(chan error, 1)
	go func() {
		_, err := get(t, address)
		cut <- err
	}()
	<-entered
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := <-cut; err == nil {
		t.Error("the request was answered")
	}
}

func TestASlowHeaderIsCut(t *testing.T) {
	address, _ := start(t, httpserver.Config{Handler: http.NotFoundHandler(), ReadHeaderTimeout: 10 * time.Millisecond}, 0)
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n")); err != nil { // and no more
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Errorf("the connection is still open: %v", err)
	}
}

func TestALongHeaderIsRefused(t *testing.T) {
	address, _ := start(t, httpserver.Config{Handler: http.NotFoundHandler()}, 0)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X", strings.Repeat("x", 64<<10))
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return // cut while it was sent
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status = %d", resp.StatusCode)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	address, _ := start(t, httpserver.Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }), MaxConnections: 1}, 0)
	first, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	// An answer proves that the first connection has the one place.
	if _, err := first.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	second := make(chan string, 1)
	go func() {
		body, _ := get(t, address)
		second <- body
	}()
	// The kernel takes the second connection at once, the server only after the first has gone: the order below holds however long either takes.
	select {
	case body := <-second:
		t.Fatalf("a second connection was served beside the first: %q", body)
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	if body := <-second; body != "ok" {
		t.Errorf("the second connection got %q", body)
	}
}

func TestAPortInUseIsReportedAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := httpserver.Listen(t.Context(), httpserver.Config{Name: "test", Address: l.Addr().String()}); err == nil || !strings.Contains(err.Error(), "listening for the test API") {
		t.Errorf("error = %v", err)
	}
}
