// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

// provider creates one with credentials.
func provider(t testing.TB, s *store.Store, org, name string) store.Provider {
	t.Helper()
	p, err := s.CreateProvider(t.Context(), act, org, store.NewProvider{
		Name: name, Type: "vault", Config: json.RawMessage(`{"address":"https://vault.example"}`), Credentials: secretValue(`{"token":"of ` + name + `"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func remoteSecret(name, provider, path string) store.NewSecret {
	return store.NewSecret{Name: name, Remote: &store.Remote{ProviderID: provider, Path: path}}
}

func credentials(t testing.TB, s *store.Store, p store.Provider) (string, error) {
	t.Helper()
	view, err := s.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v, err := view.OpenCredentials(p.OrgID, p.ID)
	return string(v.Reveal()), err
}

func leave(*store.Provider) error { return nil }

func TestAProviderIsRevisedAndKeepsItsCredentials(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	o := organization(t, s, "acme")
	p := provider(t, s, o.ID, "vault")
	if !p.HasCredentials || p.CredentialsVersion != 1 {
		t.Errorf("got %+v", p)
	}
	revise := func(expect int64, edit func(*store.Provider), given *redact.Value) (store.Provider, error) {
		return s.ReviseProvider(ctx, act, o.ID, p.ID, expect, func(p *store.Provider) error { edit(p); return nil }, given)
	}
	same, err := revise(p.Revision, func(p *store.Provider) { p.Config = json.RawMessage("{ \"address\" : \"https://vault.example\" }") }, secretValue(`{"token":"of vault"}`))
	if err != nil || same.Revision != p.Revision {
		t.Errorf("a revision without a change wrote something: %v", err)
	}
	renamed, err := revise(p.Revision, func(p *store.Provider) { p.Name, p.AllowedPrefixes = "vault-prod", []string{"kv/prod"} }, nil)
	if err != nil || renamed.Name != "vault-prod" || renamed.CredentialsVersion != 1 {
		t.Fatalf("got %+v, %v", renamed, err)
	}
	if got, err := credentials(t, s, p); err != nil || got != `{"token":"of vault"}` {
		t.Errorf("credentials are %q, %v", got, err)
	}
	if _, err := s.Provider(ctx, o.ID, "vault"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("by its old name: %v", err)
	}
	provider(t, s, o.ID, "vault") // the name is free
	if _, err := revise(0, func(p *store.Provider) { p.Name = "vault" }, nil); !errors.Is(err, store.ErrExists) {
		t.Errorf("a name that is taken: %v", err)
	}
	if _, err := revise(p.Revision, func(*store.Provider) {}, nil); !errors.Is(err, store.ErrConflict) {
		t.Errorf("with an old revision: %v", err)
	}
	if _, err := revise(0, func(p *store.Provider) { p.Config = json.RawMessage(`[1]`) }, nil); pointer(err) != "/config" {
		t.Errorf("a config that is no object: %v", err)
	}

	for name, edit := range map[string]func(*store.Provider){
		"config": func(p *store.Provider) { p.Config = json.RawMessage(`{"address":"https://attacker.example"}`) },
		"type":   func(p *store.Provider) { p.Type = "other" },
	} {
		if _, err := revise(0, edit, nil); pointer(err) != "/credentials" {
			t.Errorf("kept credentials go where another %s says: %v", name, err)
		}
	}
	moved, err := revise(0, func(p *store.Provider) { p.Config = json.RawMessage(`{"b":2,"address":"https://other.example"}`) }, secretValue(`{"token":"new"}`))
	if err != nil || moved.CredentialsVersion != 2 || string(moved.Config) != `{"address":"https://other.example","b":2}` {
		t.Fatalf("got %+v %s, %v", moved, moved.Config, err)
	}
	none, err := revise(0, func(*store.Provider) {}, &redact.Value{})
	if err != nil || none.HasCredentials || none.CredentialsVersion != 3 {
		t.Fatalf("got %+v, %v", none, err)
	}
	if got, err := credentials(t, s, p); err != nil || got != "" {
		t.Errorf("credentials are %q, %v", got, err)
	}

	if err := s.DeleteProvider(ctx, act, o.ID, p.ID, none.Revision); err != nil {
		t.Fatal(err)
	}
	if _, err := credentials(t, s, p); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("credentials of a deleted provider: %v", err)
	}
	events, err := s.AuditEvents(ctx, o.ID, store.AuditQuery{ResourceID: p.ID})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, e := range events.Items {
		told = append(told, fmt.Sprint(e.Action, e.Changed))
	}
	want := []string{
		"provider.delete[]", "provider.update[credentials]", "provider.update[config credentials]", "provider.update[name allowed_prefixes]", "provider.create[]",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
	if text := fmt.Sprintf("%+v", events.Items); strings.Contains(text, "of vault") || strings.Contains(text, "example") {
		t.Error("the audit events hold more than names of fields")
	}
}

// strict are rules that know one type, which has token credentials and one prefix.
type strict struct{}

func (strict) CheckProvider(p store.Provider, credentials redact.Value) error {
	switch {
	case p.Type != "vault":
		return &store.FieldError{Pointer: "/type", Code: "config", Message: "no such type"}
	case !strings.Contains(string(credentials.Reveal()), "token"):
		return &store.FieldError{Pointer: "/credentials/token", Code: "config", Message: "required"}
	}
	return nil
}

func (strict) CheckRemote(p store.Provider, r store.Remote) error {
	for _, prefix := range p.AllowedPrefixes {
		if !strings.HasPrefix(r.Path, prefix) {
			return &store.FieldError{Pointer: "/remote_path", Code: "prefix", Message: "outside"}
		}
	}
	return nil
}

func TestProvidersAndReferencesObeyTheRulesOfTheirType(t *testing.T) {
	ctx := t.Context()
	client, _ := storetest.Etcd(t)
	s := storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t)), Providers: strict{}})
	o, other := organization(t, s, "acme"), organization(t, s, "beta")
	foreign := provider(t, s, other.ID, "foreign")
	p := provider(t, s, o.ID, "vault")
	object := json.RawMessage(`{}`)
	for name, tc := range map[string]struct {
		n    store.NewProvider
		want string
	}{
		"no name":                    {store.NewProvider{Type: "vault", Config: object}, "/name"},
		"no type":                    {store.NewProvider{Name: "a", Config: object}, "/type"},
		"an unknown type":            {store.NewProvider{Name: "a", Type: "x", Config: object}, "/type"},
		"no config":                  {store.NewProvider{Name: "a", Type: "vault"}, "/config"},
		"a config of null":           {store.NewProvider{Name: "a", Type: "vault", Config: json.RawMessage(`null`)}, "/config"},
		"a config too long":          {store.NewProvider{Name: "a", Type: "vault", Config: json.RawMessage(`{"a":"` + strings.Repeat("x", store.MaxConfigBytes) + `"}`)}, "/config"},
		"credentials that are text":  {store.NewProvider{Name: "a", Type: "vault", Config: object, Credentials: secretValue(`"token"`)}, "/credentials"},
		"credentials too long":       {store.NewProvider{Name: "a", Type: "vault", Config: object, Credentials: secretValue(`{"a":"` + strings.Repeat("x", store.MaxCredentials) + `"}`)}, "/credentials"},
		"no credentials":             {store.NewProvider{Name: "a", Type: "vault", Config: object}, "/credentials/token"},
		"an empty prefix":            {store.NewProvider{Name: "a", Type: "vault", Config: object, AllowedPrefixes: []string{"a", ""}}, "/allowed_prefixes/1"},
		"a prefix with control text": {store.NewProvider{Name: "a", Type: "vault", Config: object, AllowedPrefixes: []string{"a\nb"}}, "/allowed_prefixes/0"},
		"too many prefixes":          {store.NewProvider{Name: "a", Type: "vault", Config: object, AllowedPrefixes: make([]string, store.MaxPrefixes+1)}, "/allowed_prefixes"},
	} {
		if _, err := s.CreateProvider(ctx, act, o.ID, tc.n); pointer(err) != tc.want {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	if _, err := s.ReviseProvider(ctx, act, o.ID, p.ID, 0, leave, secretValue(`{"jwt":"x"}`)); pointer(err) != "/credentials/token" {
		t.Errorf("other credentials: %v", err)
	}
	if _, err := s.ReviseProvider(ctx, act, o.ID, p.ID, 0, func(p *store.Provider) error { p.AllowedPrefixes = []string{"kv/prod"}; return nil }, nil); err != nil {
		t.Errorf("kept credentials count: %v", err)
	}
	for name, tc := range map[string]struct{ provider, path, want string }{
		"an unknown provider":             {"nothing", "kv/prod/x", "/provider_id"},
		"another organization's provider": {foreign.ID, "kv/prod/x", "/provider_id"},
		"a path outside the prefixes":     {p.ID, "kv/x", "/remote_path"},
	} {
		if _, err := s.CreateSecret(ctx, act, o.ID, remoteSecret("x", tc.provider, tc.path)); pointer(err) != tc.want {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	secret, err := s.CreateSecret(ctx, act, o.ID, remoteSecret("db", "vault", "kv/prod/db"))
	if err != nil {
		t.Fatal(err)
	}
	if secret.Remote.ProviderID != p.ID {
		t.Errorf("the provider's name is kept, not its id: %+v", secret.Remote)
	}
	edit := func(change func(*store.Remote)) (store.Secret, error) {
		return s.UpdateSecret(ctx, act, o.ID, secret.ID, 0, func(s *store.Secret) error { change(s.Remote); return nil })
	}
	if same, err := edit(func(r *store.Remote) { r.ProviderID = "vault" }); err != nil || same.Revision != secret.Revision {
		t.Errorf("the same provider by its name wrote something: %v", err)
	}
	if _, err := edit(func(r *store.Remote) { r.Path = "kv/x" }); pointer(err) != "/remote_path" {
		t.Errorf("moving it outside the prefixes: %v", err)
	}
	if _, err := edit(func(r *store.Remote) { r.ProviderID = foreign.ID }); pointer(err) != "/provider_id" {
		t.Errorf("moving it to another organization's provider: %v", err)
	}
	// Narrower prefixes end what was allowed: at the next read, not in the record.
	if _, err := s.ReviseProvider(ctx, act, o.ID, p.ID, 0, func(p *store.Provider) error { p.AllowedPrefixes = []string{"kv/none"}; return nil }, nil); err != nil {
		t.Error(err)
	}
	if _, err := s.UpdateSecret(ctx, act, o.ID, secret.ID, 0, func(s *store.Secret) error { s.Description = "d"; return nil }); err != nil {
		t.Errorf("changing something else of a secret that is outside now: %v", err)
	}
}

// laws are rules that change, as the operator's policy does.
type laws struct {
	strict
	address error
}

func (l *laws) CheckProvider(p store.Provider, credentials redact.Value) error {
	if len(p.AllowedPrefixes) > 1 {
		return &store.FieldError{Pointer: "/allowed_prefixes/1", Code: "config", Message: "too many"}
	}
	return l.address
}

func TestAStricterPolicyKeepsNobodyFromNarrowingAProvider(t *testing.T) {
	client, _ := storetest.Etcd(t)
	rules := new(laws)
	s := storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t)), Providers: rules})
	o := organization(t, s, "acme")
	p := provider(t, s, o.ID, "vault")
	rules.address = &store.FieldError{Pointer: "/config/address", Code: "config", Message: "it must begin with https://"}
	revise := func(edit func(*store.Provider), credentials *redact.Value) error {
		_, err := s.ReviseProvider(t.Context(), act, o.ID, p.ID, 0, func(p *store.Provider) error { edit(p); return nil }, credentials)
		return err
	}
	if err := revise(func(p *store.Provider) { p.Name, p.AllowedPrefixes = "old", []string{"kv/prod"} }, nil); err != nil {
		t.Errorf("narrowing it: %v", err)
	}
	if err := revise(func(p *store.Provider) { p.AllowedPrefixes = []string{"a", "b"} }, nil); pointer(err) != "/allowed_prefixes/1" {
		t.Errorf("prefixes that break a rule: %v", err)
	}
	if err := revise(func(p *store.Provider) { p.Config = json.RawMessage(`{"address":"http://other"}`) }, secretValue(`{"token":"x"}`)); pointer(err) != "/config/address" {
		t.Errorf("another address that is not allowed: %v", err)
	}
	if err := revise(func(*store.Provider) {}, secretValue(`{"token":"x"}`)); pointer(err) != "/config/address" {
		t.Errorf("new credentials for an address that is not allowed: %v", err)
	}
}

func TestAProviderInUseIsNotDeleted(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	o := organization(t, s, "acme")
	p := provider(t, s, o.ID, "vault")
	secret, err := s.CreateSecret(ctx, act, o.ID, remoteSecret("db", "vault", "kv/db"))
	if err != nil {
		t.Fatal(err)
	}
	err = s.DeleteProvider(ctx, act, o.ID, p.ID, 0)
	referenced, ok := errors.AsType[*store.ReferencedError](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff([]store.Reference{{Kind: "secret", ID: secret.ID, Name: "db", Field: "provider_id"}}, referenced.References); diff != "" {
		t.Error(diff)
	}
	if err := s.DeleteSecret(ctx, act, o.ID, secret.ID, 0, false); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteOrganization(ctx, act, o.ID, 0, false); !errors.Is(err, store.ErrReferenced) {
		t.Errorf("deleting an organization with a provider: %v", err)
	}
	if err := s.DeleteProvider(ctx, act, o.ID, p.ID, 0); err != nil {
		t.Fatal(err)
	}
	// The secret comes back and can be repaired.
	if _, err := s.UndeleteSecret(ctx, act, o.ID, secret.ID, 0); err != nil {
		t.Fatal(err)
	}
	provider(t, s, o.ID, "vault")
	if _, err := s.UpdateSecret(ctx, act, o.ID, secret.ID, 0, func(s *store.Secret) error { s.Remote.ProviderID = "vault"; return nil }); err != nil {
		t.Error(err)
	}
}

func TestOfADeletedProviderAndANewRemoteSecretOneWins(t *testing.T) {
	ctx, r := t.Context(), replicas(t, 2)
	o := organization(t, r[0], "acme")
	won := make(map[string]int)
	for i := range 40 {
		p := provider(t, r[0], o.ID, fmt.Sprintf("p%d", i))
		var deleted, referred error
		var wg sync.WaitGroup
		wg.Go(func() { deleted = r[i%2].DeleteProvider(ctx, act, o.ID, p.ID, 0) })
		wg.Go(func() {
			_, referred = r[(i/2)%2].CreateSecret(ctx, act, o.ID, remoteSecret(fmt.Sprintf("s%d", i), p.Name, "kv/x"))
		})
		wg.Wait()
		switch {
		case deleted == nil && pointer(referred) == "/provider_id":
			won["deletion"]++
		case referred == nil && errors.Is(deleted, store.ErrReferenced):
			won["reference"]++
		default:
			t.Fatalf("deletion: %v; reference: %v", deleted, referred)
		}
	}
	t.Log(won)
}

func TestAnEditOfAProviderIsSeenByEveryReplicaAtOnce(t *testing.T) {
	ctx, r := t.Context(), replicas(t, 2)
	o := organization(t, r[0], "acme")
	p := provider(t, r[0], o.ID, "vault")
	for i := range 100 {
		want := fmt.Sprintf(`{"token":"%d"}`, i)
		if _, err := r[0].ReviseProvider(ctx, act, o.ID, p.ID, 0, leave, secretValue(want)); err != nil {
			t.Fatal(err)
		}
		if got, err := credentials(t, r[1], p); err != nil || got != want {
			t.Fatalf("the other replica has %q, %v, want %q", got, err, want)
		}
	}
}

func TestATamperedProviderIsNotUsed(t *testing.T) {
	v := newVault(t)
	acme := v.orgs[0].ID
	p, q := provider(t, v.store, acme, "p"), provider(t, v.store, acme, "q")
	moved, err := v.store.ReviseProvider(t.Context(), act, acme, p.ID, 0, func(p *store.Provider) error { p.Name = "moved"; return nil }, secretValue(`{"token":"2"}`))
	if err != nil {
		t.Fatal(err)
	}
	key := func(parts ...string) string { return store.DefaultPrefix + "orgs/" + acme + strings.Join(parts, "") }
	original := v.records(t)
	record := original[key("/providers/", p.ID)]
	for name, value := range map[string]string{
		"one of another provider": original[key("/providers/", q.ID)],
		"the address edited":      strings.Replace(record, "vault.example", "voult.example", 1),
		"the envelope cut off":    record[:len(record)-10],
		"the last bit flipped":    record[:len(record)-1] + string(record[len(record)-1]^1),
		"emptied":                 "",
	} {
		t.Run(name, func(t *testing.T) {
			if value == record {
				t.Fatal("nothing was changed")
			}
			v.write(t, key("/providers/", p.ID), value)
			view := settled(t, v.store)
			if _, err := view.FindProvider(acme, p.ID); !errors.Is(err, store.ErrIntegrity) {
				t.Errorf("the provider: %v", err)
			}
			if _, err := view.OpenCredentials(acme, p.ID); !errors.Is(err, store.ErrIntegrity) {
				t.Errorf("its credentials: %v", err)
			}
			if _, err := v.store.CreateSecret(t.Context(), act, acme, remoteSecret("x", p.ID, "kv/x")); !errors.Is(err, store.ErrIntegrity) {
				t.Errorf("a secret of it: %v", err)
			}
			if _, err := view.OpenCredentials(acme, q.ID); err != nil {
				t.Errorf("another provider: %v", err)
			}
		})
	}
	v.write(t, key("/providers/", p.ID), record)
	settled(t, v.store)
	if got, err := credentials(t, v.store, moved); err != nil || got != `{"token":"2"}` {
		t.Errorf("restored: %q, %v", got, err)
	}
	if _, err := v.etcd.Txn(t.Context()).Then(clientv3.OpPut(key("/providernames/moved"), original[key("/providernames/q")])).Commit(); err != nil {
		t.Fatal(err)
	}
	settled(t, v.store)
	if _, err := v.store.Provider(t.Context(), acme, "moved"); !errors.Is(err, store.ErrIntegrity) {
		t.Errorf("a name that points to another provider: %v", err)
	}
	if v.store.Stats().IntegrityFailures == 0 {
		t.Error("no failure was counted")
	}
}
