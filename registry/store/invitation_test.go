// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

// invite has the bootstrap token invite somebody with a code.
func invite(t testing.TB, s *store.Store, org string, n store.Invitation, code string) store.Invitation {
	t.Helper()
	made, err := inviteAs(t.Context(), s, "token:bootstrap", org, n, code)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func inviteAs(ctx context.Context, s *store.Store, actor, org string, n store.Invitation, code string) (store.Invitation, error) {
	return s.CreateInvitation(ctx, store.Act{Actor: actor}, org, n, func(string) [32]byte { return sum(code) })
}

const bob = "user:https://login.example#4711"

func TestACodeMakesAMemberOnce(t *testing.T) {
	ctx, r := t.Context(), replicas(t, 2)
	s, other := r[0], r[1]
	o := organization(t, s, "acme")
	i := invite(t, s, o.ID, store.Invitation{Email: "Bob@Acme.example", Role: store.RoleOwner}, "code")
	if left := time.Until(i.ExpiresAt); left < 7*24*time.Hour-time.Minute || left > 7*24*time.Hour {
		t.Errorf("it ends in %v", left)
	}
	if got, err := other.Invitation(ctx, o.ID, i.ID); err != nil || got != i {
		t.Errorf("got %+v, %v", got, err)
	}
	for what, try := range map[string]func() error{
		"another code":         func() error { _, err := other.AcceptInvitation(ctx, act, i.ID, sum("guess"), bob); return err },
		"another invitation":   func() error { _, err := other.AcceptInvitation(ctx, act, o.ID, sum("code"), bob); return err },
		"of no organization":   func() error { _, err := s.Invitation(ctx, "nothing", i.ID); return err },
		"revoked elsewhere":    func() error { return s.RevokeInvitation(ctx, act, "nothing", i.ID, 0) },
		"an id that is nobody": func() error { return s.RevokeInvitation(ctx, act, o.ID, o.ID, 0) },
	} {
		if err := try(); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	m, err := other.AcceptInvitation(ctx, store.Act{Actor: bob}, i.ID, sum("code"), bob)
	if err != nil || m.Role != store.RoleOwner || m.CreatedBy != "token:bootstrap" {
		t.Fatalf("got %+v, %v", m, err)
	}
	if got, err := s.Member(ctx, o.ID, bob); err != nil || got != m {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := s.AcceptInvitation(ctx, act, i.ID, sum("code"), alice); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a second time: %v", err)
	}
	page, err := s.AuditEvents(ctx, o.ID, store.AuditQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, e := range page.Items {
		told = append(told, string(e.Action)+" "+e.ResourceName+" by "+e.Actor)
	}
	want := []string{"member.add " + bob + " by " + bob, "invitation.accept Bob@Acme.example by " + bob, "invitation.create Bob@Acme.example by token:bootstrap"}
	if !slices.Equal(told, want) {
		t.Errorf("audited: %q", told)
	}
}

// Of two people who use a code at the same moment on two replicas, one becomes a member.
func TestOfTwoWhoUseACodeAtOnceOneBecomesAMember(t *testing.T) {
	r := replicas(t, 2)
	for round := range 10 {
		o := organization(t, r[0], fmt.Sprint("t", round))
		i := invite(t, r[0], o.ID, store.Invitation{Email: "bob@acme.example", Role: store.RoleMember}, "code")
		var group errgroup.Group
		var errs [2]error
		for n := range r {
			group.Go(func() error {
				_, errs[n] = r[n].AcceptInvitation(t.Context(), act, i.ID, sum("code"), fmt.Sprint("user:", n))
				return nil
			})
		}
		_ = group.Wait()
		if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs[:]...), store.ErrNotFound) {
			t.Errorf("got %v", errs)
		}
		if list, err := r[0].Members(t.Context(), o.ID, store.Query{}); err != nil || len(list.Items) != 1 {
			t.Errorf("members %v, %v", list.Items, err)
		}
	}
}

func TestAtASignInOnlyWhatMatchesIsAccepted(t *testing.T) {
	for name, c := range map[string]struct {
		invited          store.Invitation
		principal, email string // of who signs in; the address is empty unless it was verified
		in               bool
	}{
		"the address":                         {store.Invitation{Email: "bob@acme.example"}, bob, "bob@acme.example", true},
		"the address in another case":         {store.Invitation{Email: "Bob@Acme.example"}, bob, "bOB@acme.EXAMPLE", true},
		"the principal":                       {store.Invitation{Principal: bob}, bob, "", true},
		"the principal, whatever the address": {store.Invitation{Principal: bob}, bob, "mallory@evil.example", true},
		"an address that is not verified":     {store.Invitation{Email: "bob@acme.example"}, bob, "", false},
		"another address":                     {store.Invitation{Email: "bob@acme.example"}, bob, "bob@acme.example.evil.example", false},
		"a letter that looks like one":        {store.Invitation{Email: "kim@acme.example"}, bob, "\u212aim@acme.example", false}, // KELVIN SIGN folds to k
		"another principal":                   {store.Invitation{Principal: bob}, "user:https://login.example#4712", "", false},
		"the principal in another case":       {store.Invitation{Principal: "user:Bob"}, "user:bob", "", false},
		"a principal that is an address":      {store.Invitation{Principal: "user:bob@acme.example"}, "user:x", "user:bob@acme.example", false},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, s := t.Context(), storetest.Start(t)
			o := organization(t, s, "acme")
			c.invited.Role = store.RoleMember
			i := invite(t, s, o.ID, c.invited, "code")
			made, err := s.AcceptInvitationsOf(ctx, store.Act{Actor: c.principal}, c.principal, c.email)
			if err != nil || (len(made) == 1) != c.in {
				t.Fatalf("got %+v, %v", made, err)
			}
			if _, err := s.Member(ctx, o.ID, c.principal); (err == nil) != c.in {
				t.Errorf("is a member: %v", err)
			}
			if _, err := s.Invitation(ctx, o.ID, i.ID); (err == nil) == c.in {
				t.Errorf("the invitation: %v", err)
			}
		})
	}
}

// Whoever loses the right to invite must not come back by an invitation made before.
func TestAnInvitationEndsWithTheRightOfWhoMadeIt(t *testing.T) {
	for name, end := range map[string]func(ctx context.Context, s *store.Store, org string) error{
		"removed": func(ctx context.Context, s *store.Store, org string) error {
			return s.RemoveMember(ctx, act, org, alice, 0, true)
		},
		"demoted": func(ctx context.Context, s *store.Store, org string) error {
			_, err := s.SetRole(ctx, act, org, alice, 0, store.RoleMember, true)
			return err
		},
		"no administrator any more": func(ctx context.Context, s *store.Store, _ string) error {
			return s.RemoveAdministrator(ctx, act, "user:carol", 0)
		},
		"a token that is revoked": func(ctx context.Context, s *store.Store, org string) error {
			return s.DeleteAPIToken(ctx, act, org, "ci", 0)
		},
		"the invitation revoked": nil,
		"nothing":                func(context.Context, *store.Store, string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, s := t.Context(), storetest.Start(t)
			o := organization(t, s, "acme")
			member(t, s, o.ID, alice, store.RoleOwner)
			if _, err := s.AddAdministrator(ctx, act, "user:carol"); err != nil {
				t.Fatal(err)
			}
			token, err := s.CreateAPIToken(ctx, act, o.ID, store.APIToken{Name: "ci", Role: store.RoleOwner}, func(string) [32]byte { return sum("text") })
			if err != nil {
				t.Fatal(err)
			}
			actor := map[string]string{"no administrator any more": "user:carol", "a token that is revoked": "token:" + token.ID}[name]
			if actor == "" {
				actor = alice
			}
			i, err := inviteAs(ctx, s, actor, o.ID, store.Invitation{Email: "bob@acme.example", Role: store.RoleOwner}, "code")
			if err != nil {
				t.Fatal(err)
			}
			if end == nil {
				err = s.RevokeInvitation(ctx, act, o.ID, i.ID, i.Revision)
			} else {
				err = end(ctx, s, o.ID)
			}
			if err != nil {
				t.Fatal(err)
			}
			made, err := s.AcceptInvitationsOf(ctx, act, bob, "bob@acme.example")
			if err != nil || (len(made) == 1) != (name == "nothing") {
				t.Errorf("at a sign-in: %v, %v", made, err)
			}
			if _, err := s.AcceptInvitation(ctx, act, i.ID, sum("code"), "user:mallory"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("by the code: %v", err)
			}
		})
	}
}

func TestInvitationsThatAreNoneAreRefused(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	o := organization(t, s, "acme")
	month := time.Now().Add(31 * 24 * time.Hour)
	for name, c := range map[string]struct {
		n       store.Invitation
		pointer string
	}{
		"of nobody":                {store.Invitation{Role: store.RoleMember}, "/email"},
		"of two":                   {store.Invitation{Email: "a@b.example", Principal: "user:a", Role: store.RoleMember}, "/principal"},
		"of a token":               {store.Invitation{Principal: "token:bootstrap", Role: store.RoleMember}, "/principal"},
		"without a domain":         {store.Invitation{Email: "alice@", Role: store.RoleMember}, "/email"},
		"with two of them":         {store.Invitation{Email: "alice@evil.example@acme.example", Role: store.RoleMember}, "/email"},
		"with a name":              {store.Invitation{Email: "Alice<alice@acme.example>", Role: store.RoleMember}, "/email"},
		"with other letters":       {store.Invitation{Email: "älice@acme.example", Role: store.RoleMember}, "/email"},
		"too long":                 {store.Invitation{Email: strings.Repeat("x", 250) + "@acme.example", Role: store.RoleMember}, "/email"},
		"without a role":           {store.Invitation{Email: "a@b.example"}, "/role"},
		"with a role there is not": {store.Invitation{Email: "a@b.example", Role: "admin"}, "/role"},
		"that has ended":           {store.Invitation{Email: "a@b.example", Role: store.RoleMember, ExpiresAt: time.Now().Add(-time.Minute)}, "/expires_at"},
		"for more than 30 days":    {store.Invitation{Email: "a@b.example", Role: store.RoleMember, ExpiresAt: month}, "/expires_at"},
	} {
		if _, err := inviteAs(ctx, s, "token:bootstrap", o.ID, c.n, "code"); pointer(err) != c.pointer {
			t.Errorf("%s: %v", name, err)
		}
	}
	invite(t, s, o.ID, store.Invitation{Email: "a@b.example", Role: store.RoleMember}, "code")
	if _, err := inviteAs(ctx, s, "token:bootstrap", o.ID, store.Invitation{Email: "A@b.example", Role: store.RoleOwner}, "code"); !errors.Is(err, store.ErrExists) {
		t.Errorf("twice: %v", err)
	}
	i := invite(t, s, o.ID, store.Invitation{Principal: bob, Role: store.RoleMember}, "for bob")
	if _, err := s.AcceptInvitation(ctx, act, i.ID, sum("for bob"), "user:mallory"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("another one's code: %v", err)
	}
	member(t, s, o.ID, bob, store.RoleMember)
	if _, err := inviteAs(ctx, s, "token:bootstrap", o.ID, store.Invitation{Principal: bob, Role: store.RoleOwner}, "code"); !errors.Is(err, store.ErrExists) {
		t.Errorf("a member: %v", err)
	}
	if _, err := s.AcceptInvitation(ctx, act, i.ID, sum("for bob"), bob); !errors.Is(err, store.ErrExists) {
		t.Errorf("accepting as a member: %v", err)
	}
	if _, err := inviteAs(ctx, s, "token:bootstrap", "nothing", store.Invitation{Email: "a@b.example", Role: store.RoleMember}, "code"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("to no organization: %v", err)
	}
	if err := s.DeleteOrganization(ctx, act, o.ID, 0, false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AcceptInvitation(ctx, act, i.ID, sum("for bob"), bob); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("to an organization that is gone: %v", err)
	}
}

func TestAnOrganizationHasABoundedNumberOfOpenInvitations(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	o := organization(t, s, "acme")
	var first store.Invitation
	for n := range store.MaxInvitations {
		made := invite(t, s, o.ID, store.Invitation{Email: fmt.Sprintf("u%d@acme.example", n), Role: store.RoleMember}, "code")
		if n == 0 {
			first = made
		}
	}
	if _, err := inviteAs(ctx, s, "token:bootstrap", o.ID, store.Invitation{Email: "more@acme.example", Role: store.RoleMember}, "code"); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("one more: %v", err)
	}
	page, err := s.Invitations(ctx, o.ID, store.Query{Limit: 60})
	if err != nil || len(page.Items) != 60 || page.Items[0] != first {
		t.Fatalf("got %d, %v", len(page.Items), err)
	}
	if page, err = s.Invitations(ctx, o.ID, store.Query{Limit: 60, After: page.Next}); err != nil || len(page.Items) != 40 || page.Next != "" {
		t.Errorf("got %d, %v", len(page.Items), err)
	}
	if err := s.RevokeInvitation(ctx, act, o.ID, first.ID, 0); err != nil {
		t.Fatal(err)
	}
	invite(t, s, o.ID, store.Invitation{Email: "more@acme.example", Role: store.RoleMember}, "code")
}

// What has ended counts for nothing, also while its record is still there, which hangs on an etcd lease.
func TestAnInvitationThatHasEndedCountsForNothing(t *testing.T) {
	ctx := t.Context()
	client, _ := storetest.Etcd(t)
	s := storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))})
	o := organization(t, s, "acme")
	i := invite(t, s, o.ID, store.Invitation{Email: "bob@acme.example", Role: store.RoleMember, ExpiresAt: time.Now().Add(3 * time.Second)}, "code")
	resp, err := client.Get(ctx, store.DefaultPrefix+"orgs/"+o.ID+"/invitations/", clientv3.WithPrefix())
	if err != nil || len(resp.Kvs) == 1 && resp.Kvs[0].Lease == 0 {
		t.Errorf("its record stays for ever, %v", err)
	}
	eventually(t, func() bool { return !time.Now().Before(i.ExpiresAt) })
	if _, err := s.AcceptInvitation(ctx, act, i.ID, sum("code"), bob); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("its code: %v", err)
	}
	if made, err := s.AcceptInvitationsOf(ctx, act, bob, "bob@acme.example"); err != nil || len(made) != 0 {
		t.Errorf("at a sign-in: %v, %v", made, err)
	}
	if page, err := s.Invitations(ctx, o.ID, store.Query{}); err != nil || len(page.Items) != 0 {
		t.Errorf("listed: %v, %v", page.Items, err)
	}
	invite(t, s, o.ID, store.Invitation{Email: "bob@acme.example", Role: store.RoleMember}, "code")
}

// Somebody who can write to etcd but holds no key cannot make an invitation better, nor take it to another organization.
func TestAnInvitationIsBoundToItsPlace(t *testing.T) {
	ctx := t.Context()
	client, _ := storetest.Etcd(t)
	s := storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))})
	o, other := organization(t, s, "acme"), organization(t, s, "other")
	i := invite(t, s, o.ID, store.Invitation{Email: "bob@acme.example", Role: store.RoleMember}, "code")
	resp, err := client.Get(ctx, store.DefaultPrefix+"orgs/"+o.ID+"/invitations/"+i.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Put(ctx, store.DefaultPrefix+"orgs/"+other.ID+"/invitations/"+i.ID, string(resp.Kvs[0].Value)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { _, err := s.Invitation(ctx, other.ID, i.ID); return errors.Is(err, store.ErrIntegrity) })
	m, err := s.AcceptInvitation(ctx, act, i.ID, sum("code"), bob)
	if err != nil || m.OrgID != o.ID {
		t.Errorf("got %+v, %v", m, err)
	}
	if got := actions(t, s, other.ID); slices.Contains(got, audit.InvitationAccept) {
		t.Errorf("the other organization's log: %v", got)
	}
}
