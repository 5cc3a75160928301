// SPDX-License-Identifier: Apache-2.0

package signin_test

import (
	"testing"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/authn/oidc/oidctest"
	"github.com/lanyard-dev/lanyard/registry/signin"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// invited makes an organization that has invited an address.
func (w *world) invited(slug, email string) {
	w.t.Helper()
	act := store.Act{Actor: "token:bootstrap"}
	o, err := w.store.CreateOrganization(w.t.Context(), act, store.Organization{Slug: slug})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.store.CreateInvitation(w.t.Context(), act, o.ID, store.Invitation{Email: email, Role: store.RoleMember}, func(string) [32]byte { return [32]byte{} }); err != nil {
		w.t.Fatal(err)
	}
}

func TestWhoWasInvitedIsAMemberWhenTheySignIn(t *testing.T) {
	w, _ := real(t)
	w.invited("acme", "Alice@acme.example")
	w.invited("other", "bob@acme.example")
	me := call[contract.Me](w, w.signedIn("alice"), "/api/v1/me")
	if len(me.Memberships) != 1 || me.Memberships[0].Organization != "acme" || me.Memberships[0].Role != contract.RoleMember {
		t.Errorf("got %+v", me.Memberships)
	}
}

// The provider's word is needed: an address that somebody only claims opens nothing.
func TestAnAddressThatIsNotVerifiedOpensNothing(t *testing.T) {
	var liar *oidctest.Liar
	w := newWorld(t, func(string) *oidctest.Provider {
		liar = oidctest.StartLiar(t)
		return liar.Provider
	})
	w.discover()
	w.invited("acme", "victim@acme.example")
	for name, verified := range map[string]any{"not verified": false, "no word of it": nil, "another word": "yes", "a number": 1} {
		liar.Lie(func(claims map[string]any) string {
			claims["email"] = "victim@acme.example"
			delete(claims, "email_verified")
			if verified != nil {
				claims["email_verified"] = verified
			}
			return liar.Sign(claims)
		})
		b := oidctest.NewBrowser()
		page, err := b.Get(t.Context(), w.url+signin.LoginPath)
		w.check(page, err, 200, "You are signed in")
		if me := call[contract.Me](w, b, "/api/v1/me"); len(me.Memberships) != 0 {
			t.Errorf("%s: got %+v", name, me.Memberships)
		}
	}
}
