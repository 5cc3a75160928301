// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

// keyed is an act with a key, of one request.
func keyed(key, request string) store.Act {
	a := act
	a.Once = &store.Once{Key: key, Request: sha256.Sum256([]byte(request))}
	return a
}

func TestAMutationWithAKeyIsDoneOnce(t *testing.T) {
	t.Parallel()
	s := storetest.Start(t)
	ctx := t.Context()
	o := organization(t, s, "acme")
	create := func(key, request string) (store.Secret, error) {
		return s.CreateSecret(ctx, keyed(key, request), o.ID, store.NewSecret{Name: "db", Description: "d", Value: secretValue("v")})
	}
	created, err := create("key-0001", "create db")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.UpdateSecret(ctx, act, o.ID, created.ID, 0, func(s *store.Secret) error { s.Description = ""; return nil }); err != nil {
		t.Fatal(err)
	}
	again, err := create("key-0001", "create db")
	if diff := cmp.Diff(created, again); err != nil || diff != "" {
		t.Errorf("the answer is another (-first +second), %v:\n%s", err, diff)
	}
	if _, err := create("key-0001", "create another"); !errors.Is(err, store.ErrKeyReused) {
		t.Errorf("another request with the key: %v", err)
	}
	if _, err := create("key-0002", "create db"); !errors.Is(err, store.ErrExists) {
		t.Errorf("the request with another key: %v", err)
	}
	other := keyed("key-0001", "create mail")
	other.Actor = "token:somebody-else"
	if _, err := s.CreateSecret(ctx, other, o.ID, store.NewSecret{Name: "mail"}); err != nil {
		t.Errorf("the key of another caller: %v", err)
	}
	if _, err := s.CreateSecret(ctx, keyed("key-0003", "refused"), o.ID, store.NewSecret{Name: "mail"}); !errors.Is(err, store.ErrExists) {
		t.Fatal(err)
	}
	if _, err := s.CreateSecret(ctx, keyed("key-0003", "refused"), o.ID, store.NewSecret{Name: "letter"}); err != nil {
		t.Errorf("a refusal was kept: %v", err)
	}
}

func TestAMutationThatChangesNothingIsRememberedToo(t *testing.T) {
	t.Parallel()
	s := storetest.Start(t)
	ctx := t.Context()
	o := organization(t, s, "acme")
	secret := local(t, s, o.ID, "db", "same")
	put := func(value string) (store.Secret, store.Version, *store.Once) {
		t.Helper()
		a := keyed("key-0001", "put same")
		now, v, err := s.PutVersion(ctx, a, o.ID, secret.ID, 0, redact.New([]byte(value)), true)
		if err != nil {
			t.Fatal(err)
		}
		return now, v, a.Once
	}
	first, v, once := put("same")
	if v.Number != 1 || !once.Unchanged || first.Revision != secret.Revision {
		t.Fatalf("version %d, %+v", v.Number, once)
	}
	if _, _, err := s.PutVersion(ctx, act, o.ID, secret.ID, 0, redact.New([]byte("other")), true); err != nil {
		t.Fatal(err)
	}
	second, v, once := put("same") // without a key this would make version 3
	if v.Number != 1 || !once.Unchanged || second.Revision != first.Revision {
		t.Errorf("version %d, %+v", v.Number, once)
	}
	if now, err := s.Secret(ctx, o.ID, "db"); err != nil || now.ActiveVersion != 2 {
		t.Errorf("active version %d, %v", now.ActiveVersion, err)
	}
}

// A creation whose answer is lost and whose outcome cannot be found out is repeated: there is one secret, whatever happened to the first attempt.
func TestARetriedCreationAfterATimeOutMakesOneSecret(t *testing.T) {
	t.Parallel()
	for name, commits := range map[string]bool{"it had happened": true, "it had not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			s := f.open(t, store.Config{})
			o := organization(t, s, "acme")
			var calls atomic.Int64
			lost := func(commit func() (*clientv3.TxnResponse, error)) (*clientv3.TxnResponse, error) {
				if calls.Add(1) != 2 { // the first one reads
					return commit()
				}
				f.down.Store(true) // so that nobody can find out
				if commits {
					_, _ = commit()
				}
				return nil, errLost
			}
			f.answers.Store(&lost)
			n := store.NewSecret{Name: "db", Value: secretValue("v")}
			if _, err := s.CreateSecret(t.Context(), keyed("key-0001", "create"), o.ID, n); !errors.Is(err, store.ErrUnavailable) {
				t.Fatalf("a write of unknown outcome: %v", err)
			}
			f.answers.Store(nil)
			f.down.Store(false)
			created, err := s.CreateSecret(t.Context(), keyed("key-0001", "create"), o.ID, n)
			if err != nil {
				t.Fatalf("repeating it: %v", err)
			}
			page, err := s.Secrets(t.Context(), o.ID, store.Query{})
			if err != nil || len(page.Items) != 1 || page.Items[0].ID != created.ID || page.Items[0].Revision != created.Revision || created.ActiveVersion != 1 {
				t.Errorf("secrets %+v, created %+v, %v", page.Items, created, err)
			}
		})
	}
}

func TestOfManyEqualRequestsAtOnceOneIsDone(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	replicas := []*store.Store{f.open(t, store.Config{}), f.sound(t)}
	o := organization(t, replicas[0], "acme")
	secret := local(t, replicas[0], o.ID, "db", "v1")
	var wait sync.WaitGroup
	numbers := make([]uint64, 8)
	for i := range numbers {
		wait.Go(func() {
			_, v, err := replicas[i%2].PutVersion(t.Context(), keyed("key-0001", "put"), o.ID, secret.ID, 0, redact.New([]byte("v2")), false)
			if err != nil {
				t.Error(err)
			}
			numbers[i] = v.Number
		})
	}
	wait.Wait()
	if versions, err := replicas[0].Versions(t.Context(), o.ID, "db"); err != nil || len(versions) != 2 {
		t.Errorf("%d versions, %v", len(versions), err)
	}
	for _, n := range numbers {
		if n != 2 {
			t.Errorf("answers %v", numbers)
			break
		}
	}
}

func TestAnswersAreBoundedAndEnd(t *testing.T) {
	t.Parallel()
	client, _ := storetest.Etcd(t)
	s := storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t)), Answers: 3})
	ctx := t.Context()
	o := organization(t, s, "acme")
	keep := func(key string) (done bool) {
		t.Helper()
		done, err := s.Recall(ctx, keyed(key, key), new(store.Secret))
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	for _, key := range []string{"key-a", "key-b", "key-c"} {
		if _, err := s.CreateSecret(ctx, keyed(key, key), o.ID, store.NewSecret{Name: key}); err != nil {
			t.Fatal(err)
		}
	}
	if !keep("key-a") || !keep("key-c") {
		t.Error("answers are not kept")
	}
	if _, err := s.CreateSecret(ctx, keyed("key-d", "key-d"), o.ID, store.NewSecret{Name: "key-d"}); err != nil {
		t.Fatal(err)
	}
	if keep("key-a") || !keep("key-d") {
		t.Error("the oldest answers do not make room for the newest")
	}
	s.DropAnswers(ctx, time.Now().Add(24*time.Hour))
	if !keep("key-d") {
		t.Error("an answer of less than a day ago is gone")
	}
	s.DropAnswers(ctx, time.Now().Add(48*time.Hour))
	if keep("key-d") {
		t.Error("an answer of two days ago is still there")
	}
}

// The answer to the creation of a token holds its text, and a consumer of the largest size leaves no room for an answer.
func TestWhatAnAnswerHolds(t *testing.T) {
	t.Parallel()
	client, _ := storetest.Etcd(t)
	s := storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))})
	ctx := t.Context()
	o := organization(t, s, "acme")
	a := keyed("key-0001", "token")
	if _, err := s.CreateAPIToken(ctx, a, o.ID, store.APIToken{Name: "ci", Role: store.RoleOwner}, func(string) [32]byte {
		a.Once.Private = []byte("the-text-of-the-token")
		return sha256.Sum256(a.Once.Private)
	}); err != nil {
		t.Fatal(err)
	}
	b := keyed("key-0001", "token")
	if done, err := s.Recall(ctx, b, new(store.APIToken)); !done || err != nil || string(b.Once.Private) != "the-text-of-the-token" {
		t.Errorf("recalled %v, %q, %v", done, b.Once.Private, err)
	}
	all, err := client.Get(ctx, "", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range all.Kvs {
		if strings.Contains(string(kv.Value), "the-text-of-the-token") {
			t.Errorf("%s holds the text", kv.Key)
		}
	}
	large := store.Consumer{Name: "large", Kind: store.ConsumerService}
	for i := range 16 {
		plain := strings.Repeat("x", 60<<10)
		large.Envs = append(large.Envs, store.Env{Name: "E" + string(rune('A'+i)), Value: &plain})
	}
	if _, err := s.CreateConsumer(ctx, keyed("key-0002", "large"), o.ID, large); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateConsumer(ctx, keyed("key-0002", "large"), o.ID, large); !errors.Is(err, store.ErrAnswerLost) {
		t.Errorf("repeating it: %v", err)
	}
}
