// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"testing"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

var act = storetest.Act

func organization(t testing.TB, s *store.Store, slug string) store.Organization {
	t.Helper()
	o, err := s.CreateOrganization(t.Context(), act, store.Organization{Slug: slug})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func local(t testing.TB, s *store.Store, org, name, value string) store.Secret {
	t.Helper()
	secret, err := s.CreateSecret(t.Context(), act, org, store.NewSecret{Name: name, Value: secretValue(value)})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func secretValue(text string) *redact.Value {
	v := redact.New([]byte(text))
	return &v
}

func TestAWrittenSecretIsReadBackToTheByte(t *testing.T) {
	s := storetest.Start(t)
	o := organization(t, s, "acme")
	const value = "line\r\n' \x00\xff end \n"
	secret := local(t, s, o.ID, "stripe", value)
	c, err := s.CreateConsumer(t.Context(), act, o.ID, store.Consumer{Name: "api", Kind: store.ConsumerService, Envs: []store.Env{{Name: "KEY", SecretID: "stripe"}}})
	if err != nil {
		t.Fatal(err)
	}
	view, err := s.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, ok := view.Consumer("acme", "api")
	if !ok || got.ID != c.ID || got.Envs[0].SecretID != secret.ID {
		t.Fatalf("got %+v", got)
	}
	sec, ok := view.Secret(o.ID, got.Envs[0].SecretID)
	if !ok || sec.ActiveVersion != 1 {
		t.Fatalf("got %+v", sec)
	}
	v, err := view.OpenVersion(o.ID, sec.ID, sec.ActiveVersion)
	if err != nil || string(v.Reveal()) != value {
		t.Fatalf("got %q, %v", v.Reveal(), err)
	}
}
