// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheCacheForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(2)
		c.put("a", 1, time.Minute)
		c.put("b", 2, time.Hour)
		if v, ok := c.get("a"); !ok || v != 1 {
			t.Errorf("a is %v, %t", v, ok)
		}
		time.Sleep(time.Minute)
		if _, ok := c.get("a"); ok {
			t.Error("a outlived its time, because it was used")
		}
		c.put("c", 3, time.Hour)
		_, _ = c.get("b")
		c.put("d", 4, time.Hour)
		if _, ok := c.get("c"); ok {
			t.Error("c is still there, which was not used for longest")
		}
		if _, ok := c.get("b"); !ok || c.order.Len() != 2 || len(c.entries) != 2 {
			t.Errorf("%d entries", c.order.Len())
		}
		c.put("b", 5, time.Minute)
		if v, _ := c.get("b"); v != 5 || c.order.Len() != 2 {
			t.Errorf("b is %v", v)
		}
	})
}

// testSession is one of a registry that is never asked.
func testSession(t *testing.T, c *Client, host string, cred credential) *session {
	t.Helper()
	s, err := c.session(reference{host: host, repository: "app", tag: "1"}, c.registries[host], cred)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testClient(t *testing.T) *Client {
	t.Helper()
	c, err := New(Config{Registries: []string{"one.example", "two.example", "three.example"}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEqualReadsAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testClient(t)
		s, other := testSession(t, c, "one.example", credential{}), testSession(t, c, "one.example", credential{"anna", "canary"})
		release := make(chan struct{})
		reads := 0
		read := func(context.Context) (int, error) { reads++; <-release; return reads, nil }
		results := make(chan int, 10)
		for range 10 {
			go func() {
				n, err := load(t.Context(), s, "x", time.Minute, read)
				if err != nil {
					t.Error(err)
				}
				results <- n
			}()
		}
		synctest.Wait()
		close(release)
		for range 10 {
			if n := <-results; n != 1 {
				t.Errorf("a reader got read %d", n)
			}
		}
		if n, err := load(t.Context(), s, "x", time.Minute, read); n != 1 || err != nil {
			t.Errorf("what was read was read again: %d, %v", n, err)
		}
		if n, err := load(t.Context(), other, "x", time.Minute, read); n != 2 || err != nil {
			t.Errorf("with another credential it was read %d times: %v", n, err)
		}
		time.Sleep(time.Minute)
		if n, err := load(t.Context(), s, "x", time.Minute, read); n != 3 || err != nil {
			t.Errorf("when its time was over it was read %d times: %v", n, err)
		}
	})
}

func TestWhatFailedIsNotKept(t *testing.T) {
	s := testSession(t, testClient(t), "one.example", credential{})
	broken := errors.New("broken")
	for _, tc := range []struct {
		read func(context.Context) (int, error)
		want error
	}{
		{func(context.Context) (int, error) { return 0, broken }, broken},
		{func(context.Context) (int, error) { panic("boom") }, errPanicked},
		{func(context.Context) (int, error) { return 7, nil }, nil},
	} {
		if _, err := load(t.Context(), s, "x", time.Minute, tc.read); !errors.Is(err, tc.want) {
			t.Errorf("%v, want %v", err, tc.want)
		}
	}
}

func TestAReadGoesOnForTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := testSession(t, testClient(t), "one.example", credential{})
		first, giveUp := context.WithCancel(t.Context())
		read := func(ctx context.Context) (string, error) {
			select {
			case <-time.After(time.Second):
				return "read", nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
		go func() {
			if _, err := load(first, s, "x", time.Minute, read); !errors.Is(err, context.Canceled) {
				t.Errorf("whoever gave up got %v", err)
			}
		}()
		synctest.Wait()
		done := make(chan struct{})
		go func() {
			defer close(done)
			if text, err := load(t.Context(), s, "x", time.Minute, read); text != "read" || err != nil {
				t.Errorf("the other got %q, %v", text, err)
			}
		}()
		synctest.Wait()
		giveUp()
		<-done
	})
}

func TestAReadHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := testSession(t, testClient(t), "one.example", credential{})
		began := time.Now()
		_, err := load(t.Context(), s, "x", time.Minute, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != readTimeout {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

func TestARegistryThatHangsLeavesPlacesToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testClient(t)
		one, two, three := testSession(t, c, "one.example", credential{}), testSession(t, c, "two.example", credential{}), testSession(t, c, "three.example", credential{})
		inside := map[*session]*atomic.Int32{one: {}, two: {}, three: {}}
		release := make(chan struct{})
		fill := func(s *session, n int) {
			for i := range n {
				go func() {
					_, _ = load(t.Context(), s, fmt.Sprint(i), time.Minute, func(context.Context) (int, error) { inside[s].Add(1); <-release; return 0, nil })
				}()
				synctest.Wait()
			}
		}
		fill(one, 3*maxReadsOfHost)
		if n := inside[one].Load(); n != maxReadsOfHost {
			t.Errorf("%d reads of one registry at once", n)
		}
		fill(two, 1)
		if inside[two].Load() != 1 {
			t.Error("the other registry is not read while the first hangs")
		}
		fill(two, maxReadsOfHost+1)
		fill(three, 2)
		if a, b, c := inside[one].Load(), inside[two].Load(), inside[three].Load(); a+b+c != maxReads || c != 0 {
			t.Errorf("at once there are %d, %d and %d reads", a, b, c)
		}
		close(release)
		synctest.Wait()
		if n := inside[three].Load(); len(c.bulkhead.all) != 0 || n != 2 {
			t.Errorf("%d places are still taken; the third registry was read %d times", len(c.bulkhead.all), n)
		}
	})
}

func TestCredentialsHaveMarksOfTheirOwn(t *testing.T) {
	c, other := testClient(t), testClient(t)
	marks := map[string]credential{}
	for _, cred := range []credential{{}, {"a", "b"}, {"a", "c"}, {"ab", ""}, {"", "ab"}, {"a\x00b", ""}, {"b", "a"}} {
		mark := c.mark("registry.example", cred)
		if before, taken := marks[mark]; taken {
			t.Errorf("%q and %q have one mark", before, cred)
		}
		marks[mark] = cred
	}
	if c.mark("registry.example", credential{"a", "b"}) == c.mark("other.example", credential{"a", "b"}) {
		t.Error("a credential has one mark at two registries")
	}
	if c.mark("registry.example", credential{"a", "b"}) == other.mark("registry.example", credential{"a", "b"}) {
		t.Error("a credential has one mark in two processes")
	}
}
