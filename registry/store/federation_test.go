// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/lanyard-dev/lanyard/registry/store"
)

// federation creates one that trusts the jobs of acme/app.
func federation(t testing.TB, s *store.Store, org, name string) store.Federation {
	t.Helper()
	f, err := s.CreateFederation(t.Context(), act, org, store.Federation{
		Name: name, Issuer: "https://forge.example", Audience: "https://lanyard.example", Claims: map[string]string{"sub": "repo:acme/app:*"}, Role: store.RoleMember,
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAFederationIsKnownToEveryReplica(t *testing.T) {
	ctx, r := t.Context(), replicas(t, 2)
	s, other := r[0], r[1]
	acme, beta := organization(t, s, "acme"), organization(t, s, "beta")
	made := federation(t, s, acme.ID, "app")
	if made.Life != store.DefaultFederatedLife || made.OrgID != acme.ID {
		t.Errorf("got %+v", made)
	}
	for _, ref := range []string{"app", made.ID} {
		if got, err := other.Federation(ctx, acme.ID, ref); err != nil || !cmp.Equal(got, made) {
			t.Errorf("got %+v, %v", got, err)
		}
		if _, err := other.Federation(ctx, beta.ID, ref); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("of another organization: %v", err)
		}
	}
	got, err := other.Federation(ctx, acme.ID, "app")
	if err != nil {
		t.Fatal(err)
	}
	got.Claims["sub"] = "repo:mallory/app:*" // what a caller does to its copy
	if again, err := other.Federation(ctx, acme.ID, "app"); err != nil || !cmp.Equal(again, made) {
		t.Errorf("got %+v, %v", again, err)
	}
	if err := s.DeleteFederation(ctx, act, acme.ID, "app", made.Revision+1); !errors.Is(err, store.ErrConflict) {
		t.Errorf("another state: %v", err)
	}
	if err := s.DeleteFederation(ctx, act, beta.ID, made.ID, 0); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("through another organization: %v", err)
	}
	if err := s.DeleteFederation(ctx, act, acme.ID, made.ID, made.Revision); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Federation(ctx, acme.ID, "app"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	again := federation(t, s, acme.ID, "app")
	if page, err := other.Federations(ctx, acme.ID, store.Query{}); err != nil || len(page.Items) != 1 || page.Items[0].ID != again.ID {
		t.Errorf("got %+v, %v", page, err)
	}
	if err := s.DeleteOrganization(ctx, act, acme.ID, 0, false); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Federation(ctx, acme.ID, again.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after its organization: %v", err)
	}
}

func TestAFederationSaysWhomItTrusts(t *testing.T) {
	s := replicas(t, 1)[0]
	o := organization(t, s, "acme")
	whole := store.Federation{Name: "app", Issuer: "https://forge.example", Audience: "a", Claims: map[string]string{"sub": "repo:acme/app:x"}, Role: store.RoleOwner}
	for name, tc := range map[string]struct {
		change func(*store.Federation)
		want   string // pointer
	}{
		"no name":               {func(f *store.Federation) { f.Name = "" }, "/name"},
		"an issuer in clear":    {func(f *store.Federation) { f.Issuer = "http://forge.example" }, "/issuer"},
		"an issuer with a user": {func(f *store.Federation) { f.Issuer = "https://me@forge.example" }, "/issuer"},
		"an issuer with a '#'":  {func(f *store.Federation) { f.Issuer = "https://forge.example/#" }, "/issuer"},
		"no issuer":             {func(f *store.Federation) { f.Issuer = "" }, "/issuer"},
		"no audience":           {func(f *store.Federation) { f.Audience = "" }, "/audience"},
		"no claims":             {func(f *store.Federation) { f.Claims = nil }, "/claims"},
		"no role":               {func(f *store.Federation) { f.Role = "" }, "/role"},
		"more than an hour":     {func(f *store.Federation) { f.Life = time.Hour + time.Second }, "/lifetime_seconds"},
		"less than a minute":    {func(f *store.Federation) { f.Life = time.Second }, "/lifetime_seconds"},
		"less than nothing":     {func(f *store.Federation) { f.Life = -time.Hour }, "/lifetime_seconds"},
	} {
		f := whole
		tc.change(&f)
		if _, err := s.CreateFederation(t.Context(), act, o.ID, f); pointer(err) != tc.want {
			t.Errorf("%s: got %v, want %s", name, err, tc.want)
		}
	}
	if _, err := s.CreateFederation(t.Context(), act, "nothing", whole); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("in no organization: %v", err)
	}
}

func TestAnIDTokenIsRedeemedOnceWhoeverIsFaster(t *testing.T) {
	ctx, r := t.Context(), replicas(t, 2)
	o := organization(t, r[0], "acme")
	rules := []store.Federation{federation(t, r[0], o.ID, "app"), federation(t, r[0], o.ID, "other")}
	job := act
	job.Actor = "federation:app#repo:acme/app:x"
	id := store.IDToken{Sum: sum("ID token"), ExpiresAt: time.Now().Add(time.Minute)}
	var (
		group errgroup.Group
		made  [8]store.FederatedToken
		errs  [8]error
	)
	for i := range made {
		group.Go(func() error {
			made[i], errs[i] = r[i%2].RedeemIDToken(ctx, job, rules[i/4], id, func(string) [32]byte { return sum(fmt.Sprint("bearer", i)) })
			return nil
		})
	}
	_ = group.Wait()
	good := -1
	for i, err := range errs {
		switch {
		case err == nil && good < 0:
			good = i
		case !errors.Is(err, store.ErrRedeemed):
			t.Errorf("request %d: %+v, %v", i, made[i], err)
		}
	}
	if good < 0 {
		t.Fatal("nobody got a bearer")
	}
	rule, text := rules[good/4], fmt.Sprint("bearer", good)
	for n, s := range r {
		got, err := s.VerifyFederatedToken(ctx, made[good].ID, sum(text))
		if err != nil || got != made[good] || got.Role != store.RoleMember || got.ExpiresAt.Sub(got.CreatedAt) != store.DefaultFederatedLife {
			t.Errorf("replica %d: %+v, %v", n, got, err)
		}
		if _, err := s.VerifyFederatedToken(ctx, made[good].ID, sum("another text")); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("replica %d, another text: %v", n, err)
		}
	}
	if err := r[0].DeleteFederation(ctx, act, o.ID, rule.ID, 0); err != nil {
		t.Fatal(err)
	}
	federation(t, r[0], o.ID, rule.Name) // another one of the name
	if _, err := r[1].VerifyFederatedToken(ctx, made[good].ID, sum(text)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("without its federation: %v", err)
	}
	if _, err := r[1].RedeemIDToken(ctx, job, rule, store.IDToken{Sum: sum("another"), ExpiresAt: id.ExpiresAt}, func(string) [32]byte { return sum("x") }); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("redeeming by a federation that is gone: %v", err)
	}
}
