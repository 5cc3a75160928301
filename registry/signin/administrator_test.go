// SPDX-License-Identifier: Apache-2.0

package signin_test

import (
	"context"
	"testing"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn/oidc/oidctest"
	"github.com/lanyard-dev/lanyard/registry/signin"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

// replica is another registry on the same etcd, with a store of its own.
func (w *world) replica(p *oidctest.Provider) *world {
	w.t.Helper()
	other := *w
	other.store = storetest.Open(w.t, w.config)
	other.serve(func(string) *oidctest.Provider { return p })
	return &other
}

func TestTheSignInOfAnAdministratorEndsTheBootstrapTokenOnEveryReplica(t *testing.T) {
	one, p := real(t)
	two := one.replica(p)
	if one.store == two.store || one.url == two.url {
		t.Fatal("there is one replica")
	}
	both := func(when string, want int) {
		t.Helper()
		for name, replica := range map[string]*world{"one": one, "two": two} {
			if got := asBearer(t, replica, "GET", "/api/v1/organizations", one.token); got != want {
				t.Errorf("%s: replica %s answers the bootstrap token with %d, want %d", when, name, got, want)
			}
		}
	}
	both("at first", 200)
	if _, err := two.store.AddAdministrator(t.Context(), store.Act{Actor: "token:bootstrap"}, "user:"+p.Issuer+"#a-1"); err != nil {
		t.Fatal(err)
	}
	both("when alice is an administrator", 200)
	one.signedIn("bob")
	both("when somebody else has signed in", 200)

	alice := one.signedIn("alice")
	both("when alice has signed in", 401)
	one.visit(alice, "/api/v1/administrators", 200, `"accepted":false`)
	page, err := one.store.AuditEvents(t.Context(), "", store.AuditQuery{Action: audit.BootstrapEnd})
	if err != nil || len(page.Items) != 1 || page.Items[0].Actor != "user:"+p.Issuer+"#a-1" {
		t.Errorf("audited as %+v, %v", page.Items, err)
	}
	one.signedIn("alice")
	both("when she has signed in again", 401)
}

// Who cannot end the token is not let in: otherwise an administrator would act beside it.
func TestNobodySignsInWhileTheEndOfTheBootstrapTokenCannotBeWritten(t *testing.T) {
	w, _ := real(t, func(c *signin.Config) { c.Store = endless{c.Store} })
	b := oidctest.NewBrowser()
	page, err := b.SignIn(t.Context(), w.url+signin.LoginPath, "alice")
	w.check(page, err, 503, "could not reach its store")
	w.visit(b, signin.HomePath, 200, "You are not signed in")
}

// endless is a store whose bootstrap token cannot be ended.
type endless struct{ signin.Store }

func (endless) EndBootstrap(context.Context, store.Act, string) error { return store.ErrUnavailable }
