// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

func TestVersionsAreNumberedActivatedAndDestroyed(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	o := organization(t, s, "acme")
	secret := local(t, s, o.ID, "db", "one")

	put := func(value string, activate bool) (store.Secret, store.Version) {
		t.Helper()
		secret, v, err := s.PutVersion(ctx, act, o.ID, secret.ID, 0, *secretValue(value), activate)
		if err != nil {
			t.Fatal(err)
		}
		return secret, v
	}
	same, v := put("one", true)
	if v.Number != 1 || same.Revision != secret.Revision {
		t.Errorf("an identical put wrote something: version %d", v.Number)
	}
	if staged, v := put("two", false); v.Number != 2 || staged.ActiveVersion != 1 {
		t.Errorf("staged version is %d, active %d", v.Number, staged.ActiveVersion)
	}
	if now, v := put("it's three", true); v.Number != 3 || now.ActiveVersion != 3 || v.NoEnvfile != "it contains a single quote" {
		t.Errorf("got %+v, active %d", v, now.ActiveVersion)
	}
	if got, err := s.ActivateVersion(ctx, act, o.ID, secret.ID, 0, 2); err != nil || got.ActiveVersion != 2 {
		t.Errorf("rolling back: %v, active %d", err, got.ActiveVersion)
	}
	if _, err := s.DestroyVersion(ctx, act, o.ID, secret.ID, 0, 2); pointer(err) != "/version" {
		t.Errorf("destroying the active version: %v", err)
	}
	if v, err := s.DestroyVersion(ctx, act, o.ID, secret.ID, 0, 3); err != nil || v.DestroyedAt == nil {
		t.Errorf("destroying: %v", err)
	}
	if _, err := s.ActivateVersion(ctx, act, o.ID, secret.ID, 0, 3); pointer(err) != "/version" {
		t.Errorf("activating a destroyed version: %v", err)
	}
	if _, v := put("four\x00", false); v.Number != 4 || v.NoExec != "it contains a NUL byte" {
		t.Errorf("after a destroyed version comes %+v, want number 4, which exec cannot carry", v)
	}
	versions, err := s.Versions(ctx, o.ID, "db")
	if err != nil {
		t.Fatal(err)
	}
	var numbers []uint64
	for _, v := range versions {
		numbers = append(numbers, v.Number)
	}
	if diff := cmp.Diff([]uint64{4, 3, 2, 1}, numbers); diff != "" {
		t.Error(diff)
	}
	view, err := s.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := view.OpenVersion(o.ID, secret.ID, 3); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("opening a destroyed version: %v", err)
	}
	if _, err := view.OpenVersion("other", secret.ID, 1); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("opening it for another organization: %v", err)
	}
}

func TestStorageModeChangesInPlace(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	o := organization(t, s, "acme")
	secret := local(t, s, o.ID, "db", "one")
	provider(t, s, o.ID, "vault")
	remote, err := s.UpdateSecret(ctx, act, o.ID, secret.ID, secret.Revision, func(s *store.Secret) error {
		s.Storage, s.Remote = store.StorageRemote, &store.Remote{ProviderID: "vault", Path: "kv/data/db", Key: "value"}
		return nil
	})
	if err != nil || remote.ActiveVersion != 0 || remote.LastVersion != 1 {
		t.Fatalf("got %+v, %v", remote, err)
	}
	if _, err := s.ActivateVersion(ctx, act, o.ID, secret.ID, 0, 1); pointer(err) != "/version" {
		t.Errorf("activating a version of a remote secret: %v", err)
	}
	back, v, err := s.PutVersion(ctx, act, o.ID, secret.ID, remote.Revision, *secretValue("one"), true)
	if err != nil || back.Storage != store.StorageLocal || back.Remote != nil || back.ActiveVersion != 2 || v.Number != 2 {
		t.Errorf("got %+v, %v", back, err)
	}
}

func TestDeletedSecretsDoNotResolveAndComeBack(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	o := organization(t, s, "acme")
	secret := local(t, s, o.ID, "db", "one")
	c := consumer(t, s, o.ID, "api", store.Env{Name: "DB", SecretID: "db"})

	err := s.DeleteSecret(ctx, act, o.ID, secret.ID, 0, false)
	var referenced *store.ReferencedError
	if !errors.As(err, &referenced) {
		t.Fatalf("deleting a referenced secret: %v", err)
	}
	if diff := cmp.Diff([]store.Reference{{Kind: "consumer", ID: c.ID, Name: "api", Field: "env DB"}}, referenced.References); diff != "" {
		t.Error(diff)
	}
	if err := s.DeleteSecret(ctx, act, o.ID, secret.ID, 0, true); err != nil {
		t.Fatal(err)
	}
	view, _ := s.View(ctx)
	if _, ok := view.Secret(o.ID, secret.ID); ok {
		t.Error("a deleted secret resolves")
	}
	if got, err := s.Secret(ctx, o.ID, "db"); err != nil || got.DeletedAt == nil {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := s.CreateSecret(ctx, act, o.ID, store.NewSecret{Name: "db"}); !errors.Is(err, store.ErrExists) {
		t.Errorf("taking the name of a deleted secret: %v", err)
	}
	if _, _, err := s.PutVersion(ctx, act, o.ID, secret.ID, 0, *secretValue("x"), true); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("putting to a deleted secret: %v", err)
	}
	if _, err := s.CreateConsumer(ctx, act, o.ID, store.Consumer{Name: "new", Kind: store.ConsumerHook, Envs: []store.Env{{Name: "A", SecretID: secret.ID}}}); pointer(err) != "/envs/0/secret" {
		t.Errorf("referring to a deleted secret: %v", err)
	}
	if _, err := s.UpdateConsumer(ctx, act, o.ID, c.ID, 0, func(c *store.Consumer) error { c.Description = "x"; return nil }); err != nil {
		t.Errorf("changing something else of a consumer of a deleted secret: %v", err)
	}
	if _, err := s.UndeleteSecret(ctx, act, o.ID, secret.ID, 0); err != nil {
		t.Fatal(err)
	}
	view, _ = s.View(ctx)
	if v, err := view.OpenVersion(o.ID, secret.ID, 1); err != nil || string(v.Reveal()) != "one" {
		t.Errorf("got %v", err)
	}
}

func TestARenamedObjectIsFoundByItsNewNameOnly(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	o := organization(t, s, "acme")
	secret := local(t, s, o.ID, "old", "one")
	local(t, s, o.ID, "taken", "two")
	c := consumer(t, s, o.ID, "api", store.Env{Name: "DB", SecretID: "old"})
	rename := func(name string) error {
		_, err := s.UpdateSecret(ctx, act, o.ID, secret.ID, 0, func(s *store.Secret) error { s.Name = name; return nil })
		return err
	}
	if err := rename("taken"); !errors.Is(err, store.ErrExists) {
		t.Errorf("renaming to a taken name: %v", err)
	}
	if err := rename("new"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Secret(ctx, o.ID, "old"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("finding the old name: %v", err)
	}
	if got, err := s.Secret(ctx, o.ID, "new"); err != nil || got.ID != secret.ID {
		t.Errorf("finding the new name: %v", err)
	}
	if _, err := s.UpdateConsumer(ctx, act, o.ID, c.ID, 0, func(c *store.Consumer) error { c.Name = "web"; return nil }); err != nil {
		t.Fatal(err)
	}
	view, _ := s.View(ctx)
	if _, ok := view.Consumer("acme", "api"); ok {
		t.Error("the consumer's old name resolves")
	}
	if got, ok := view.Consumer("acme", "web"); !ok || got.Envs[0].SecretID != secret.ID {
		t.Error("the consumer's new name does not resolve")
	}
	local(t, s, o.ID, "old", "three") // the name is free again
}

func TestAnExpectedRevisionThatPassedIsAConflict(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	o := organization(t, s, "acme")
	secret := local(t, s, o.ID, "db", "one")
	describe := func(expect int64, text string) error {
		_, err := s.UpdateSecret(ctx, store.Act{Actor: "token:bob"}, o.ID, secret.ID, expect, func(s *store.Secret) error { s.Description = text; return nil })
		return err
	}
	if err := describe(secret.Revision, "a"); err != nil {
		t.Fatal(err)
	}
	err := describe(secret.Revision, "b")
	var conflict *store.ConflictError
	if !errors.As(err, &conflict) || conflict.Current.UpdatedBy != "token:bob" {
		t.Fatalf("got %v", err)
	}
	if err := describe(conflict.Current.Revision, "b"); err != nil {
		t.Errorf("with the revision the conflict told: %v", err)
	}
}

func TestOrganizationsAreDeletedWhenEmpty(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	o := organization(t, s, "acme")
	if _, err := s.CreateOrganization(ctx, act, store.Organization{Slug: "acme"}); !errors.Is(err, store.ErrExists) {
		t.Errorf("creating it again: %v", err)
	}
	secret := local(t, s, o.ID, "db", "one")
	if err := s.DeleteOrganization(ctx, act, o.ID, 0, false); !errors.Is(err, store.ErrReferenced) {
		t.Errorf("deleting one with a secret: %v", err)
	}
	if err := s.DeleteSecret(ctx, act, o.ID, secret.ID, 0, false); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteOrganization(ctx, act, o.ID, 0, false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Organization(ctx, "acme"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("finding it: %v", err)
	}
	again := organization(t, s, "acme")
	if _, err := s.Secret(ctx, again.ID, "db"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the new organization inherited a secret: %v", err)
	}
	if _, err := s.CreateSecret(ctx, act, o.ID, store.NewSecret{Name: "db"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("creating a secret in the deleted organization: %v", err)
	}
}

func TestTheLargestObjectsFit(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	o := organization(t, s, "acme")
	secret := local(t, s, o.ID, "large", strings.Repeat("x", wire.MaxValueBytes))
	if _, _, err := s.PutVersion(ctx, act, o.ID, secret.ID, 0, redact.New(make([]byte, wire.MaxValueBytes+1)), true); pointer(err) != "/value" {
		t.Errorf("a value above the limit: %v", err)
	}
	c := store.Consumer{Name: "large", Kind: store.ConsumerService}
	for i := range wire.MaxEnvs {
		e := store.Env{Name: fmt.Sprintf("E%d", i)}
		if i < 15 {
			value := strings.Repeat("é", store.MaxPlainValue/2)
			e.Value = &value
		} else {
			e.SecretID = local(t, s, o.ID, fmt.Sprintf("s%d", i), "v").ID
		}
		c.Envs = append(c.Envs, e)
	}
	for i := range store.MaxBindings {
		c.Bindings = append(c.Bindings, store.Binding{Cluster: "prod", Namespace: fmt.Sprintf("ns-%d", i), ServiceAccount: "default"})
	}
	if _, err := s.CreateConsumer(ctx, act, o.ID, c); err != nil {
		t.Fatal(err)
	}
	if refs, err := s.References(ctx, o.ID, "s200"); err != nil || len(refs) != 1 {
		t.Errorf("got %v, %v", refs, err)
	}
}

func TestListsAreFilteredPagedAndStableUnderWrites(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	o := organization(t, s, "acme")
	other := organization(t, s, "beta")
	local(t, s, other.ID, "m", "x")
	for _, name := range []string{"a", "c", "e", "g", "i"} {
		if _, err := s.CreateSecret(ctx, act, o.ID, store.NewSecret{Name: name, Labels: map[string]string{"team": "x"}}); err != nil {
			t.Fatal(err)
		}
	}
	p := provider(t, s, o.ID, "p")
	if _, err := s.CreateSecret(ctx, act, o.ID, store.NewSecret{Name: "Remote", Storage: store.StorageRemote, Remote: &store.Remote{ProviderID: "p", Path: "x"}}); err != nil {
		t.Fatal(err)
	}
	all := func(q store.Query, between func(page int)) []string {
		t.Helper()
		var names []string
		for page := 0; ; page++ {
			got, err := s.Secrets(ctx, o.ID, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range got.Items {
				names = append(names, secret.Name)
			}
			if q.After = got.Next; q.After == "" {
				return names
			}
			between(page)
		}
	}
	none := func(int) {}
	for name, tc := range map[string]struct {
		q    store.Query
		want []string
	}{
		"everything":     {store.Query{Limit: 2}, []string{"Remote", "a", "c", "e", "g", "i"}},
		"by search":      {store.Query{Search: "REM"}, []string{"Remote"}},
		"by label":       {store.Query{Limit: 1, Labels: map[string]string{"team": "x"}}, []string{"a", "c", "e", "g", "i"}},
		"by storage":     {store.Query{Storage: store.StorageRemote}, []string{"Remote"}},
		"by provider":    {store.Query{ProviderID: p.ID}, []string{"Remote"}},
		"by its name":    {store.Query{ProviderID: "p"}, []string{"Remote"}},
		"by another":     {store.Query{ProviderID: "q"}, nil},
		"none deleted":   {store.Query{Deleted: true}, nil},
		"no such label":  {store.Query{Labels: map[string]string{"team": "y"}}, nil},
		"a whole page":   {store.Query{Limit: 6}, []string{"Remote", "a", "c", "e", "g", "i"}},
		"a page and one": {store.Query{Limit: 5}, []string{"Remote", "a", "c", "e", "g", "i"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, all(tc.q, none)); diff != "" {
				t.Error(diff)
			}
		})
	}
	moving := all(store.Query{Limit: 2}, func(page int) {
		switch page {
		case 0: // "a" was last: delete it, add before and after
			secret, _ := s.Secret(ctx, o.ID, "a")
			if err := s.DeleteSecret(ctx, act, o.ID, secret.ID, 0, false); err != nil {
				t.Fatal(err)
			}
			local(t, s, o.ID, "B", "x")
			local(t, s, o.ID, "d", "x")
		}
	})
	if diff := cmp.Diff([]string{"Remote", "a", "c", "d", "e", "g", "i"}, moving); diff != "" {
		t.Error(diff)
	}
	page, _ := s.Secrets(ctx, o.ID, store.Query{Limit: 1})
	for name, call := range map[string]func() error{
		"another filter":       func() error { _, err := s.Secrets(ctx, o.ID, store.Query{After: page.Next, Search: "x"}); return err },
		"another organization": func() error { _, err := s.Secrets(ctx, other.ID, store.Query{After: page.Next}); return err },
		"another list":         func() error { _, err := s.Consumers(ctx, o.ID, store.Query{After: page.Next}); return err },
		"a changed token":      func() error { _, err := s.Secrets(ctx, o.ID, store.Query{After: page.Next + "AAAA"}); return err },
		"no token at all":      func() error { _, err := s.Secrets(ctx, o.ID, store.Query{After: "c"}); return err },
	} {
		if err := call(); pointer(err) != "/page_token" {
			t.Errorf("a page token used with %s: %v", name, err)
		}
	}
}

func TestEveryMutationIsInTheAuditChain(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	o := organization(t, s, "acme")
	secret := local(t, s, o.ID, "db", "canary-value")
	c := consumer(t, s, o.ID, "api", store.Env{Name: "DB", SecretID: "db"})
	if _, _, err := s.PutVersion(ctx, act, o.ID, secret.ID, 0, *secretValue("canary-value-2"), true); err != nil {
		t.Fatal(err)
	}
	if err := s.AppendAudit(ctx, []audit.Event{{ID: "r1", OrgID: o.ID, Action: audit.WorkloadResolve}, {ID: "r2", OrgID: o.ID, Action: audit.WorkloadResolve}}); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteConsumer(ctx, act, o.ID, c.ID, 0); err != nil {
		t.Fatal(err)
	}
	var actions []audit.Action
	q := store.AuditQuery{Limit: 2}
	for {
		page, err := s.AuditEvents(ctx, o.ID, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Items {
			actions = append(actions, e.Action)
			if e.OrgID != o.ID {
				t.Errorf("event %s is of organization %q", e.ID, e.OrgID)
			}
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	want := []audit.Action{audit.ConsumerDelete, audit.WorkloadResolve, audit.WorkloadResolve, audit.SecretPut, audit.ConsumerCreate, audit.SecretCreate}
	if diff := cmp.Diff(want, actions); diff != "" {
		t.Error(diff)
	}
	page, err := s.AuditEvents(ctx, o.ID, store.AuditQuery{Action: audit.SecretPut})
	if err != nil || len(page.Items) != 1 || page.Items[0].Version != 2 || page.Items[0].ResourceName != "db" || page.Items[0].Actor != act.Actor {
		t.Errorf("got %+v, %v", page.Items, err)
	}
	if n, _, err := s.VerifyAudit(ctx, o.ID); err != nil || n != 6 {
		t.Errorf("verified %d events: %v", n, err)
	}
	if n, _, err := s.VerifyAudit(ctx, ""); err != nil || n != 1 {
		t.Errorf("verified %d events of the installation: %v", n, err)
	}
}

func consumer(t testing.TB, s *store.Store, org, name string, envs ...store.Env) store.Consumer {
	t.Helper()
	c, err := s.CreateConsumer(t.Context(), act, org, store.Consumer{
		Name: name, Kind: store.ConsumerService, Envs: envs,
		Bindings: []store.Binding{{Cluster: "prod", Namespace: "billing", ServiceAccount: name}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pointer returns the field an error blames, "" if it is no FieldError.
func pointer(err error) string {
	var field *store.FieldError
	if errors.As(err, &field) {
		return field.Pointer
	}
	return ""
}
