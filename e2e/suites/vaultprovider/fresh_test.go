// SPDX-License-Identifier: Apache-2.0

package vaultprovider

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/vault"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// TestNoneOfAThousandStartsGetsWhatWasReplacedBeforeIt replaces a value all the while a thousand pods start. The first answer of Vault is held back until the value was replaced and half of the pods have
// begun after that: who let them join the read that is on the way would hand them the old value.
func TestNoneOfAThousandStartsGetsWhatWasReplacedBeforeIt(t *testing.T) {
	s := start(t)
	var written atomic.Int64 // the newest value that Vault has acknowledged
	write := func(n int64) {
		s.put(t, "kv/shared", fmt.Sprintf(`{"a":"%d"}`, n))
		written.Store(n)
	}
	write(1)

	target, err := url.Parse(s.address())
	if err != nil {
		t.Fatal(err)
	}
	answered, released := make(chan struct{}), make(chan struct{})
	var once sync.Once
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(r *http.Response) error { // Vault has read by now
		if strings.HasPrefix(r.Request.URL.Path, "/v1/kv/") {
			s.reads.Add(1)
			once.Do(func() { close(answered); <-released })
		}
		return nil
	}
	counted := httptest.NewServer(proxy)
	defer counted.Close()
	r := record(t, counted.URL, vault.Auth{Method: vault.MethodAppRole, RoleID: roleID}, vault.Credentials{SecretID: secretID})
	m, err := provider.NewManager(provider.Config{Records: one(r), Types: []provider.Type{vault.Type()}, Host: host, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()

	var begun, ended sync.WaitGroup
	var newest atomic.Int64
	begin := func(pods int) {
		for range pods {
			begun.Add(1)
			ended.Go(func() {
				floor := written.Load()
				begun.Done()
				v, err := m.Fetch(t.Context(), "org", store.Remote{ProviderID: "p1", Path: "kv/shared", Key: "a"})
				if err != nil {
					t.Error(err)
					return
				}
				got, err := strconv.ParseInt(string(v.Reveal()), 10, 64)
				if err != nil || got < floor {
					t.Errorf("a pod that started when the value was %d got %q", floor, v.Reveal())
				}
				for seen := newest.Load(); got > seen && !newest.CompareAndSwap(seen, got); seen = newest.Load() {
				}
			})
		}
		begun.Wait()
	}
	begin(500)
	<-answered // with 1
	write(2)
	begin(500)
	close(released)
	done := make(chan struct{})
	go func() { ended.Wait(); close(done) }()
	last := int64(2)
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
			last++
			write(last)
		}
	}
	t.Logf("1,000 starts while the value was replaced %d times: %d reads of Vault, the newest value handed out was %d", last-1, s.reads.Load(), newest.Load())
	if newest.Load() < 2 {
		t.Error("nobody got the value that replaced the first")
	}
	if s.reads.Load() > 100 {
		t.Errorf("%d reads", s.reads.Load())
	}
}
