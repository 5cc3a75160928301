// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

const (
	alice    = "user:alice@acme.example"
	deployer = "serviceaccount:ci/deployer"
)

func member(t testing.TB, s *store.Store, org, principal string, role store.Role) store.Member {
	t.Helper()
	m, err := s.AddMember(t.Context(), act, org, store.Member{Principal: principal, Role: role})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func sum(text string) [32]byte { return sha256.Sum256([]byte(text)) }

func apiToken(t testing.TB, s *store.Store, org, name, text string) store.APIToken {
	t.Helper()
	token, err := s.CreateAPIToken(t.Context(), act, org, store.APIToken{Name: name, Role: store.RoleMember}, func(string) [32]byte { return sum(text) })
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestMembersComeAndGo(t *testing.T) {
	ctx, r := t.Context(), replicas(t, 2)
	s, other := r[0], r[1]
	acme, beta := organization(t, s, "acme"), organization(t, s, "beta")
	owner := member(t, s, acme.ID, alice, store.RoleOwner)
	member(t, s, acme.ID, deployer, store.RoleMember)
	member(t, s, beta.ID, alice, store.RoleMember)

	for _, ref := range []string{"acme", acme.ID} {
		if o, role, err := other.Standing(ctx, ref, alice); err != nil || o.ID != acme.ID || role != store.RoleOwner {
			t.Errorf("got %+v, %s, %v", o, role, err)
		}
	}
	_, _, unknown := other.Standing(ctx, "nothing", deployer)
	_, _, stranger := other.Standing(ctx, "beta", deployer)
	if !errors.Is(unknown, store.ErrNotFound) || !errors.Is(stranger, store.ErrNotFound) || unknown.Error() != stranger.Error() {
		t.Errorf("a stranger can tell %q from %q", unknown, stranger)
	}
	memberships, err := other.Memberships(ctx, alice)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]store.Role)
	for _, m := range memberships {
		got[m.Organization.Slug] = m.Role
	}
	if diff := cmp.Diff(map[string]store.Role{"acme": store.RoleOwner, "beta": store.RoleMember}, got); diff != "" {
		t.Error(diff)
	}
	if none, err := s.Memberships(ctx, "user:alice"); err != nil || len(none) != 0 {
		t.Errorf("a prefix of a principal is a member of %v, %v", none, err)
	}
	page, err := s.Organizations(ctx, store.Query{Member: deployer})
	if err != nil || len(page.Items) != 1 || page.Items[0].Slug != "acme" {
		t.Errorf("got %+v, %v", page, err)
	}
	list, err := s.Members(ctx, acme.ID, store.Query{Limit: 1})
	if err != nil || len(list.Items) != 1 || list.Items[0].Principal != deployer || list.Next == "" {
		t.Fatalf("got %+v, %v", list, err)
	}
	if list, err = s.Members(ctx, acme.ID, store.Query{Limit: 1, After: list.Next}); err != nil || len(list.Items) != 1 || list.Items[0].Principal != alice || list.Next != "" {
		t.Errorf("got %+v, %v", list, err)
	}
	for _, ref := range []string{alice, owner.ID} {
		if m, err := other.Member(ctx, acme.ID, ref); err != nil || m != owner {
			t.Errorf("got %+v, %v", m, err)
		}
		if _, err := other.Member(ctx, "x", ref); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("in another organization: %v", err)
		}
	}
	if _, err := s.AddMember(ctx, act, acme.ID, store.Member{Principal: alice, Role: store.RoleMember}); !errors.Is(err, store.ErrExists) {
		t.Errorf("twice: %v", err)
	}
	if same, err := s.SetRole(ctx, act, acme.ID, alice, owner.Revision, store.RoleOwner, false); err != nil || same.Revision != owner.Revision {
		t.Errorf("the same role again: %v", err)
	}
	if err := s.RemoveMember(ctx, act, acme.ID, deployer, owner.Revision, false); !errors.Is(err, store.ErrConflict) {
		t.Errorf("at another revision: %v", err)
	}
	if err := s.RemoveMember(ctx, act, acme.ID, deployer, 0, false); err != nil {
		t.Fatal(err)
	}
	if _, _, err := other.Standing(ctx, "acme", deployer); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after the removal: %v", err)
	}
	events, err := s.AuditEvents(ctx, acme.ID, store.AuditQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var actions []audit.Action
	for _, e := range events.Items {
		actions = append(actions, e.Action)
	}
	if diff := cmp.Diff([]audit.Action{audit.MemberRemove, audit.MemberAdd, audit.MemberAdd}, actions); diff != "" {
		t.Error(diff)
	}
}

func TestTheLastOwnerStays(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	o := organization(t, s, "acme")
	member(t, s, o.ID, alice, store.RoleOwner)
	if err := s.RemoveMember(ctx, act, o.ID, alice, 0, false); !errors.Is(err, store.ErrLastOwner) {
		t.Errorf("removing: %v", err)
	}
	if _, err := s.SetRole(ctx, act, o.ID, alice, 0, store.RoleMember, false); !errors.Is(err, store.ErrLastOwner) {
		t.Errorf("demoting: %v", err)
	}
	member(t, s, o.ID, deployer, store.RoleOwner)
	if _, err := s.SetRole(ctx, act, o.ID, alice, 0, store.RoleMember, false); err != nil {
		t.Errorf("demoting one of two: %v", err)
	}
	if err := s.RemoveMember(ctx, act, o.ID, deployer, 0, false); !errors.Is(err, store.ErrLastOwner) {
		t.Errorf("a member is no owner: %v", err)
	}
	if err := s.RemoveMember(ctx, act, o.ID, deployer, 0, true); err != nil {
		t.Errorf("by force: %v", err)
	}
}

// Of two owners who remove each other at the same moment on two replicas, one stays.
func TestOfTwoOwnersWhoRemoveEachOtherOneStays(t *testing.T) {
	r := replicas(t, 2)
	for round := range 10 {
		o, err := r[0].CreateOrganization(t.Context(), act, store.Organization{Slug: fmt.Sprint("t", round)}, alice, deployer)
		if err != nil {
			t.Fatal(err)
		}
		var group errgroup.Group
		var errs [2]error
		for i, principal := range []string{alice, deployer} {
			group.Go(func() error { errs[i] = r[i].RemoveMember(t.Context(), act, o.ID, principal, 0, false); return nil })
		}
		_ = group.Wait()
		if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs[:]...), store.ErrLastOwner) {
			t.Errorf("got %v", errs)
		}
	}
}

func TestPrincipalsThatAreNoneAreRefused(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	o := organization(t, s, "acme")
	for name, principal := range map[string]string{
		"nothing": "", "no type": "alice", "no id": "user:", "another type": "group:admins", "a token": "token:bootstrap", "a space": "user:alice b",
		"a control character": "user:a\x00", "not ASCII": "user:älice", "a service account without a namespace": "serviceaccount:deployer",
		"a service account with a slash too many": "serviceaccount:a/b/c", "too long": "user:" + strings.Repeat("x", 508),
	} {
		if _, err := s.AddMember(ctx, act, o.ID, store.Member{Principal: principal, Role: store.RoleMember}); pointer(err) != "/principal" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, role := range []store.Role{"", "admin"} {
		if _, err := s.AddMember(ctx, act, o.ID, store.Member{Principal: alice, Role: role}); pointer(err) != "/role" {
			t.Errorf("role %q: %v", role, err)
		}
	}
	for _, principal := range []string{"user:https://idp.example/%2F?x=1#y", "user:auth0|12:34", "user:..", "user:" + strings.Repeat("/", 250)} {
		m := member(t, s, o.ID, principal, store.RoleMember)
		if got, err := s.Member(ctx, o.ID, principal); err != nil || got != m {
			t.Errorf("%s: %v", principal, err)
		}
	}
	if _, err := s.AddMember(ctx, act, "nothing", store.Member{Principal: alice, Role: store.RoleMember}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no organization: %v", err)
	}
}

func TestATokenIsVerifiedByItsHash(t *testing.T) {
	ctx, r := t.Context(), replicas(t, 2)
	s, other := r[0], r[1]
	o := organization(t, s, "acme")
	token := apiToken(t, s, o.ID, "terraform", "text")
	if life := token.ExpiresAt.Sub(token.CreatedAt); life != store.DefaultTokenLife {
		t.Errorf("it lives %s", life)
	}
	if got, err := other.VerifyAPIToken(ctx, token.ID, sum("text")); err != nil || got != token {
		t.Errorf("got %+v, %v", got, err)
	}
	for name, try := range map[string]func() (store.APIToken, error){
		"another text": func() (store.APIToken, error) { return other.VerifyAPIToken(ctx, token.ID, sum("texd")) },
		"another id":   func() (store.APIToken, error) { return other.VerifyAPIToken(ctx, o.ID, sum("text")) },
		"its name":     func() (store.APIToken, error) { return other.VerifyAPIToken(ctx, "terraform", sum("text")) },
		"nothing":      func() (store.APIToken, error) { return other.VerifyAPIToken(ctx, "", [32]byte{}) },
	} {
		if got, err := try(); !errors.Is(err, store.ErrNotFound) || got != (store.APIToken{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if err := s.DeleteAPIToken(ctx, act, o.ID, token.ID, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := other.VerifyAPIToken(ctx, token.ID, sum("text")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("revoked: %v", err)
	}
	again := apiToken(t, s, o.ID, "terraform", "other")
	if _, err := other.VerifyAPIToken(ctx, token.ID, sum("text")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("revoked, and another of the name: %v", err)
	}
	if _, err := other.VerifyAPIToken(ctx, again.ID, sum("other")); err != nil {
		t.Error(err)
	}
}

// Revoking is seen by every replica's next request, however many are under way.
func TestARevokedTokenIsRefusedByEveryReplicaAtOnce(t *testing.T) {
	ctx, r := t.Context(), replicas(t, 3)
	o := organization(t, r[0], "acme")
	for i := range 20 {
		token := apiToken(t, r[i%3], o.ID, "ci", "text")
		if err := r[i%3].DeleteAPIToken(ctx, act, o.ID, token.ID, 0); err != nil {
			t.Fatal(err)
		}
		for n, s := range r {
			if _, err := s.VerifyAPIToken(ctx, token.ID, sum("text")); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("round %d, replica %d: %v", i, n, err)
			}
		}
	}
}

func TestATokenEnds(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	o := organization(t, s, "acme")
	create := func(expires time.Time) (store.APIToken, error) {
		return s.CreateAPIToken(ctx, act, o.ID, store.APIToken{Name: "t", Role: store.RoleOwner, ExpiresAt: expires}, func(string) [32]byte { return sum("text") })
	}
	for name, expires := range map[string]time.Time{"in the past": time.Now().Add(-time.Second), "in two years": time.Now().Add(2 * store.MaxTokenLife)} {
		if _, err := create(expires); pointer(err) != "/expires_at" {
			t.Errorf("%s: %v", name, err)
		}
	}
	token, err := create(time.Now().Add(150 * time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		_, err := s.VerifyAPIToken(ctx, token.ID, sum("text"))
		if before := time.Now().Before(token.ExpiresAt); before && err != nil {
			t.Errorf("before its end: %v", err)
		}
		return errors.Is(err, store.ErrNotFound)
	})
	if got, err := s.APIToken(ctx, o.ID, "t"); err != nil || got.ID != token.ID {
		t.Errorf("an expired token is not listed: %v", err)
	}
}

func TestTheLastUseOfATokenIsKnownAndChangesNothing(t *testing.T) {
	ctx := t.Context()
	client, _ := storetest.Etcd(t)
	s := storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))})
	o := organization(t, s, "acme")
	token := apiToken(t, s, o.ID, "ci", "text")
	if got, err := s.APIToken(ctx, o.ID, "ci"); err != nil || got.LastUsedAt != nil {
		t.Fatalf("got %+v, %v", got, err)
	}
	for range 3 {
		if _, err := s.VerifyAPIToken(ctx, token.ID, sum("text")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool {
		page, err := s.APITokens(ctx, o.ID, store.Query{})
		return err == nil && len(page.Items) == 1 && page.Items[0].LastUsedAt != nil && page.Items[0].Revision == token.Revision
	})
	use := func() *clientv3.GetResponse {
		resp, err := client.Get(ctx, store.DefaultPrefix+"activity/", clientv3.WithPrefix())
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	if resp := use(); len(resp.Kvs) != 1 || resp.Kvs[0].Version != 1 {
		t.Errorf("three uses were written as %v", resp.Kvs)
	}
	if err := s.DeleteAPIToken(ctx, act, o.ID, "ci", 0); err != nil {
		t.Fatal(err)
	}
	if resp := use(); len(resp.Kvs) != 0 {
		t.Errorf("%d uses are left", len(resp.Kvs))
	}
}

func TestPeopleGoWithTheirOrganization(t *testing.T) {
	ctx := t.Context()
	client, _ := storetest.Etcd(t)
	s := storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))})
	o := organization(t, s, "acme")
	member(t, s, o.ID, alice, store.RoleOwner)
	token := apiToken(t, s, o.ID, "ci", "text")
	if _, err := s.VerifyAPIToken(ctx, token.ID, sum("text")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { got, err := s.APIToken(ctx, o.ID, "ci"); return err == nil && got.LastUsedAt != nil })
	if err := s.DeleteOrganization(ctx, act, o.ID, 0, false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.VerifyAPIToken(ctx, token.ID, sum("text")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("its token: %v", err)
	}
	if list, err := s.Memberships(ctx, alice); err != nil || len(list) != 0 {
		t.Errorf("its member: %v, %v", list, err)
	}
	resp, err := client.Get(ctx, store.DefaultPrefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		if key := string(kv.Key); strings.Contains(key, o.ID) && !strings.Contains(key, "/audit/") {
			t.Errorf("%s is left", key)
		}
	}
}

// Somebody who can write to etcd but holds no key gains nothing.
func TestForgedPeopleAreNobody(t *testing.T) {
	ctx := t.Context()
	client, _ := storetest.Etcd(t)
	config := store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))}
	s := storetest.Open(t, config)
	acme, beta := organization(t, s, "acme"), organization(t, s, "beta")
	member(t, s, acme.ID, alice, store.RoleOwner)
	member(t, s, beta.ID, deployer, store.RoleMember)
	token := apiToken(t, s, acme.ID, "ci", "text")
	key := func(parts ...string) string { return store.DefaultPrefix + "orgs/" + strings.Join(parts, "/") }
	read := func(key string) string {
		resp, err := client.Get(ctx, key)
		if err != nil || len(resp.Kvs) != 1 {
			t.Fatalf("reading %s: %v", key, err)
		}
		return string(resp.Kvs[0].Value)
	}
	put := func(ctx context.Context, key, value string) {
		if _, err := client.Put(ctx, key, value); err != nil {
			t.Fatal(err)
		}
	}
	owner, record := read(key(acme.ID, "members", alice)), read(key(acme.ID, "tokens", "ci"))
	put(ctx, key(acme.ID, "members", "user:mallory"), owner)
	put(ctx, key(beta.ID, "members", alice), owner)
	put(ctx, key(beta.ID, "members", "serviceaccount:ci%2Fdeployer"), strings.Replace(read(key(beta.ID, "members", "serviceaccount:ci%2Fdeployer")), "member\"", "owner\" ", 1))
	put(ctx, key(beta.ID, "tokens", "ci"), record)
	put(ctx, key(acme.ID, "tokens", "other"), record)
	put(ctx, key(acme.ID, "members", "user:raw"), `{"principal":"user:raw","role":"owner","org_id":"`+acme.ID+`"}`)

	for _, s := range []*store.Store{s, storetest.Open(t, config)} {
		settled(t, s)
		for _, try := range []struct{ org, principal string }{{"acme", "user:mallory"}, {"beta", alice}, {"beta", deployer}, {"acme", "user:raw"}} {
			if _, role, err := s.Standing(ctx, try.org, try.principal); err == nil {
				t.Errorf("%s is %s of %s", try.principal, role, try.org)
			}
		}
		if got, err := s.VerifyAPIToken(ctx, token.ID, sum("text")); err != nil || got.OrgID != acme.ID {
			t.Errorf("the true token: %+v, %v", got, err)
		}
		if list, err := s.Memberships(ctx, alice); err != nil || len(list) != 1 {
			t.Errorf("got %+v, %v", list, err)
		}
		page, err := s.Members(ctx, acme.ID, store.Query{})
		if err != nil || !slices.ContainsFunc(page.Items, func(m store.Member) bool { return m.Principal == alice }) || len(page.Items) != 1 {
			t.Errorf("got %+v, %v", page, err)
		}
		if err := s.RemoveMember(ctx, act, acme.ID, alice, 0, false); !errors.Is(err, store.ErrLastOwner) {
			t.Errorf("a forged owner counts: %v", err)
		}
	}
}

func TestNoTokenTextIsInEtcd(t *testing.T) {
	client, _ := storetest.Etcd(t)
	s := storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))})
	o := organization(t, s, "acme")
	const canary = "canary-5f1d8c42b6"
	apiToken(t, s, o.ID, "ci", canary)
	resp, err := client.Get(t.Context(), "", clientv3.WithPrefix())
	if err != nil || len(resp.Kvs) == 0 {
		t.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		if strings.Contains(string(kv.Value), canary) {
			t.Errorf("%s holds the text", kv.Key)
		}
	}
}
