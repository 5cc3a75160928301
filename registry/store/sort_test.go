// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

func TestSecretsAreSortedAndNoneIsLeftOutWhileOthersWrite(t *testing.T) {
	t.Parallel()
	s := storetest.Start(t)
	ctx := t.Context()
	o := organization(t, s, "acme")
	start := time.Now().UTC().Truncate(time.Second)
	for i, name := range []string{"c", "a", "e", "b", "d"} {
		n := store.NewSecret{Name: name}
		if name != "b" {
			at := start.Add(time.Duration(i+1) * time.Hour)
			n.ExpiresAt = &at
		}
		if _, err := s.CreateSecret(ctx, act, o.ID, n); err != nil {
			t.Fatal(err)
		}
	}
	all := func(sort store.Sort, between func(page int)) (names []string) {
		t.Helper()
		q := store.Query{Sort: sort, Limit: 2}
		for i := 0; ; i++ {
			page, err := s.Secrets(ctx, o.ID, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range page.Items {
				names = append(names, secret.Name)
			}
			if page.Next == "" {
				return names
			}
			q.After = page.Next
			between(i)
		}
	}
	none := func(int) {}
	for sort, want := range map[store.Sort][]string{
		store.SortName:     {"a", "b", "c", "d", "e"},
		store.SortNameDown: {"e", "d", "c", "b", "a"},
		store.SortExpires:  {"c", "a", "e", "d", "b"},
	} {
		if diff := cmp.Diff(want, all(sort, none)); diff != "" {
			t.Errorf("%s: %s", sort, diff)
		}
	}
	up, down := all(store.SortUpdated, none), all(store.SortNewest, none)
	slices.Reverse(down)
	if len(up) != 5 || !slices.Equal(up, down) { // within one millisecond names decide, in both directions
		t.Errorf("by time %v, and back %v", up, down)
	}
	// Between two pages one that is still to come is changed, and would jump to the front.
	var moved string
	seen := all(store.SortNewest, func(page int) {
		if page != 0 {
			return
		}
		moved = up[0] // the oldest comes last
		found, err := s.Secret(ctx, o.ID, moved)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.UpdateSecret(ctx, act, o.ID, found.ID, 0, func(s *store.Secret) error { s.Description = "x"; return nil }); err != nil {
			t.Fatal(err)
		}
	})
	if len(seen) != 5 || seen[4] != moved {
		t.Errorf("%s was changed, and the list is %v", moved, seen)
	}
	if _, err := s.Secrets(ctx, o.ID, store.Query{Sort: store.SortUpdated, After: func() string {
		page, err := s.Secrets(ctx, o.ID, store.Query{Sort: store.SortNewest, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		return page.Next
	}()}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("the token of another order: %v", err)
	}
}

func TestUnusedSecretsAreFound(t *testing.T) {
	t.Parallel()
	s := storetest.Start(t)
	o := organization(t, s, "acme")
	used := local(t, s, o.ID, "used", "v")
	local(t, s, o.ID, "unused", "v")
	consumer(t, s, o.ID, "api", store.Env{Name: "A", SecretID: used.ID})
	page, err := s.Secrets(t.Context(), o.ID, store.Query{Unused: true})
	if err != nil || len(page.Items) != 1 || page.Items[0].Name != "unused" {
		t.Errorf("got %+v, %v", page.Items, err)
	}
}

func TestAQuotaBoundsWhatIsAdded(t *testing.T) {
	t.Parallel()
	s := storetest.Start(t)
	ctx := t.Context()
	o := organization(t, s, "acme")
	secret := local(t, s, o.ID, "one", "v1")
	set := func(q store.Quota) {
		t.Helper()
		if _, err := s.UpdateOrganization(ctx, act, o.ID, 0, func(o *store.Organization) error { o.Quota = q; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	create := func(name string) error {
		_, err := s.CreateSecret(ctx, act, o.ID, store.NewSecret{Name: name, Value: secretValue("v")})
		return err
	}
	put := func(value string) error {
		_, _, err := s.PutVersion(ctx, act, o.ID, secret.ID, 0, redact.New([]byte(value)), true)
		return err
	}
	exceeded := func(err error, of string) {
		t.Helper()
		if e, ok := errors.AsType[*store.QuotaError](err); !ok || !errors.Is(err, store.ErrQuota) || e.Of != of || e.Have+e.More <= e.Limit {
			t.Errorf("%s: %v", of, err)
		}
	}
	set(store.Quota{Secrets: 2, Versions: 3})
	if err := create("two"); err != nil {
		t.Fatal(err)
	}
	exceeded(create("three"), "secrets")
	if err := put("v2"); err != nil {
		t.Fatal(err)
	}
	exceeded(put("v3"), "versions")
	if err := put("v2"); err != nil {
		t.Errorf("what adds nothing: %v", err)
	}
	set(store.Quota{Secrets: 1, Bytes: 400})
	if _, err := s.UpdateSecret(ctx, act, o.ID, secret.ID, 0, func(s *store.Secret) error { s.Description = "x"; return nil }); err != nil {
		t.Errorf("beyond a quota that was lowered: %v", err)
	}
	exceeded(put(string(make([]byte, 400))), "bytes")
	_, err := s.PutSecrets(ctx, act, o.ID, []store.NewSecret{{Name: "x"}, {Name: "y"}}, store.ExistingFail)
	exceeded(err, "secrets")
	set(store.Quota{})
	if err := create("three"); err != nil {
		t.Error(err)
	}
}

// A secret that is deleted while a consumer begins to refer to it: one of the two is refused.
func TestADeletionAndANewReferenceDoNotBothSucceed(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	a, b := f.sound(t), f.sound(t)
	o := organization(t, a, "acme")
	for round := range 20 {
		name := string(rune('a' + round))
		secret := local(t, a, o.ID, name, "v")
		var deleting, referring error
		var wait sync.WaitGroup
		wait.Go(func() { deleting = a.DeleteSecret(t.Context(), act, o.ID, secret.ID, 0, false) })
		wait.Go(func() {
			_, referring = b.CreateConsumer(t.Context(), act, o.ID, store.Consumer{Name: "c" + name, Kind: store.ConsumerService, Envs: []store.Env{{Name: "A", SecretID: secret.ID}}})
		})
		wait.Wait()
		if (deleting == nil) == (referring == nil) || deleting != nil && !errors.Is(deleting, store.ErrReferenced) || referring != nil && !errors.Is(referring, store.ErrInvalid) {
			t.Fatalf("deleting: %v; referring: %v", deleting, referring)
		}
	}
}
