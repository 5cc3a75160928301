// SPDX-License-Identifier: Apache-2.0

package bearer_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/bearer"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// world is a server that refuses the tokens for which refuses says so, and a client whose logins are counted and give tokens of a life.
type world struct {
	client *bearer.Client
	logins atomic.Int32
	url    string
}

func open(t *testing.T, life time.Duration, refuses func(token string) bool) *world {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuses(r.Header.Get("Authorization")) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte("{}"))
	}))
	t.Cleanup(server.Close)
	guard := &egress.Guard{AllowHTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	plain := rest.Client(guard, nil)
	t.Cleanup(plain.CloseIdleConnections)
	w := &world{url: server.URL}
	w.client = bearer.NewClient(plain, "the server", func(context.Context) (bearer.Token, error) {
		return bearer.For(string('a'+w.logins.Add(1)-1), life), nil
	})
	return w
}

func (w *world) get(ctx context.Context, t *testing.T) (int, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := w.client.Ask(r)
	if err != nil {
		return 0, err
	}
	return answer.Status, nil
}

func TestManyRequestsShareOneLogin(t *testing.T) {
	w := open(t, time.Hour, func(string) bool { return false })
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if status, err := w.get(t.Context(), t); err != nil || status != http.StatusOK {
				t.Errorf("%d, %v", status, err)
			}
		})
	}
	all.Wait()
	if n := w.logins.Load(); n != 1 {
		t.Errorf("%d logins", n)
	}
}

func TestATokenWithoutALifeIsUsedOnce(t *testing.T) {
	w := open(t, 0, func(string) bool { return false })
	for range 3 {
		if status, err := w.get(t.Context(), t); err != nil || status != http.StatusOK {
			t.Fatalf("%d, %v", status, err)
		}
	}
	if n := w.logins.Load(); n != 3 {
		t.Errorf("%d logins", n)
	}
}

func TestARefusedTokenIsReplacedOnce(t *testing.T) {
	var revoked atomic.Bool
	w := open(t, time.Hour, func(token string) bool { return revoked.Load() && token == "Bearer a" })
	for _, want := range []int32{1, 2} {
		if status, err := w.get(t.Context(), t); err != nil || status != http.StatusOK || w.logins.Load() != want {
			t.Fatalf("%d, %v after %d logins", status, err, w.logins.Load())
		}
		revoked.Store(true)
	}
}

func TestANewTokenThatIsRefusedIsNotReplaced(t *testing.T) {
	w := open(t, time.Hour, func(string) bool { return true })
	if status, err := w.get(t.Context(), t); err != nil || status != http.StatusUnauthorized || w.logins.Load() != 1 {
		t.Errorf("%d, %v after %d logins", status, err, w.logins.Load())
	}
}

func TestWaitingForALoginEndsWithTheContext(t *testing.T) {
	began, end := make(chan struct{}), make(chan struct{})
	client := bearer.NewClient(rest.Client(&egress.Guard{}, nil), "the server", func(context.Context) (bearer.Token, error) {
		close(began)
		<-end
		return bearer.Token{}, &provider.Error{Kind: provider.KindDenied}
	})
	send := func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://example.com", nil)
		if err != nil {
			return err
		}
		_, err = client.Ask(r)
		return err
	}
	var all sync.WaitGroup
	all.Go(func() { _ = send(context.Background()) })
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := send(ctx)
	if e, ok := errors.AsType[*provider.Error](err); !ok || e.Kind != provider.KindUnavailable || e.Reason != provider.ReasonTimeout {
		t.Errorf("error = %v", err)
	}
	close(end)
	all.Wait()
}
