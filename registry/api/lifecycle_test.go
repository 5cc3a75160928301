// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oapi-codegen/nullable"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
)

func pointer[T any](v T) *T { return &v }

func TestTheClientDrivesALifeCycle(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	c, err := contract.New(w.url, w.token, contract.WithHTTPClient(&http.Client{Transport: w}))
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	me, err := c.GetMeWithResponse(ctx)
	must(contract.Check(me, err))
	if diff := cmp.Diff(&contract.Me{Principal: "token:bootstrap", Admin: true, Memberships: []contract.Membership{}}, me.JSON200); diff != "" {
		t.Errorf("me (-want +got):\n%s", diff)
	}

	org, err := c.CreateOrganizationWithResponse(ctx, nil, contract.OrganizationCreate{Slug: "acme", DisplayName: pointer("Acme Corporation")})
	must(contract.Check(org, err))
	renamed, err := c.UpdateOrganizationWithResponse(ctx, "acme", &contract.UpdateOrganizationParams{IfMatch: &org.Headers201.ETag}, contract.OrganizationUpdate{DisplayName: pointer("Acme")})
	must(contract.Check(renamed, err))
	if renamed.JSON200.DisplayName != "Acme" || renamed.Headers200.ETag == org.Headers201.ETag {
		t.Errorf("got %+v", renamed.JSON200)
	}

	// A local secret, and its rotation.
	created, err := c.CreateSecretWithResponse(ctx, "acme", nil, contract.SecretCreate{
		Name: "stripe-api-key", Value: pointer(canary), Labels: &contract.Labels{"team": "payments"}, ExpiresAt: pointer(time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)),
	})
	must(contract.Check(created, err))
	if s := created.JSON201; *s.ActiveVersion != 1 || s.Storage != contract.StorageLocal || s.Etag != created.Headers201.ETag || s.CreatedBy != "token:bootstrap" {
		t.Errorf("got %+v", s)
	}
	if want := "/api/v1/organizations/" + org.JSON201.ID + "/secrets/" + created.JSON201.ID; created.Headers201.Location != want {
		t.Errorf("location = %s, want %s", created.Headers201.Location, want)
	}
	twice, err := c.CreateSecretWithResponse(ctx, "acme", nil, contract.SecretCreate{Name: "stripe-api-key", Value: pointer("x")})
	if err := contract.Check(twice, err); !errors.Is(err, contract.CodeAlreadyExists) {
		t.Errorf("error = %v", err)
	}
	consumer, err := c.CreateConsumerWithResponse(ctx, "acme", nil, contract.ConsumerCreate{
		Name: "billing", Kind: pointer(contract.ConsumerKindAgent),
		Envs:     &[]contract.Env{{Name: "KEY", Secret: pointer("stripe-api-key")}, {Name: "LOG_LEVEL", Value: pointer("info")}, {Name: "EMPTY", Value: pointer("")}},
		Bindings: &[]contract.Binding{{Cluster: pointer("prod"), Namespace: "billing", ServiceAccount: "api"}},
	})
	must(contract.Check(consumer, err))
	want := []contract.Env{
		{Name: "KEY", Secret: pointer("stripe-api-key")},
		{Name: "LOG_LEVEL", Value: pointer("info")}, {Name: "EMPTY", Value: pointer("")},
	}
	if diff := cmp.Diff(want, consumer.JSON201.Envs); diff != "" {
		t.Errorf("ENVs (-want +got):\n%s", diff)
	}

	staged, err := c.PutVersionWithResponse(ctx, "acme", "stripe-api-key", nil, contract.VersionCreate{Value: pointer("second"), Activate: pointer(false)})
	must(contract.Check(staged, err))
	if v := staged.JSON201; v == nil || v.Number != 2 || v.Active {
		t.Fatalf("got %+v", v)
	}
	active, err := c.ActivateVersionWithResponse(ctx, "acme", created.JSON201.ID, 2, &contract.ActivateVersionParams{IfMatch: &staged.Headers201.ETag})
	must(contract.Check(active, err))
	same, err := c.PutVersionWithResponse(ctx, "acme", "stripe-api-key", nil, contract.VersionCreate{ValueBase64: pointer("c2Vjb25k")})
	must(contract.Check(same, err))
	if same.JSON200 == nil || same.JSON200.Number != 2 || same.Headers200.ETag != active.Headers200.ETag {
		t.Errorf("an identical put made a version: %s", same.Body)
	}
	destroyed, err := c.DestroyVersionWithResponse(ctx, "acme", "stripe-api-key", 1, nil)
	must(contract.Check(destroyed, err))
	one, err := c.GetVersionWithResponse(ctx, "acme", "stripe-api-key", 1)
	must(contract.Check(one, err))
	if one.JSON200.DestroyedAt == nil {
		t.Errorf("got %+v", one.JSON200)
	}
	now, err := c.GetSecretWithResponse(ctx, "acme", "stripe-api-key", nil) // destroying changed it
	must(contract.Check(now, err))
	patched, err := c.UpdateSecretWithResponse(ctx, "acme", "stripe-api-key", &contract.UpdateSecretParams{IfMatch: &now.Headers200.ETag}, contract.SecretUpdate{
		Value: pointer("third"), Name: pointer("stripe"), Description: pointer("Restricted key"), ExpiresAt: nullable.NewNullNullable[time.Time](),
	})
	must(contract.Check(patched, err))
	if s := patched.JSON200; *s.ActiveVersion != 3 || s.Name != "stripe" || s.ExpiresAt != nil || s.Labels["team"] != "payments" {
		t.Errorf("got %+v", s)
	}
	versions, err := c.ListVersionsWithResponse(ctx, "acme", "stripe")
	must(contract.Check(versions, err))
	if n := len(versions.JSON200.Items); n != 3 || !versions.JSON200.Items[0].Active {
		t.Errorf("got %+v", versions.JSON200)
	}

	// The name of the secret follows; deletion is refused while it is used.
	again, err := c.GetConsumerWithResponse(ctx, "acme", "billing", nil)
	must(contract.Check(again, err))
	if name := again.JSON200.Envs[0].Secret; *name != "stripe" {
		t.Errorf("secret name = %s", *name)
	}
	refs, err := c.ListReferencesWithResponse(ctx, "acme", "stripe")
	must(contract.Check(refs, err))
	if diff := cmp.Diff([]contract.Reference{{Kind: "consumer", ID: consumer.JSON201.ID, Name: "billing", Field: "env KEY"}}, refs.JSON200.Items); diff != "" {
		t.Errorf("references (-want +got):\n%s", diff)
	}
	refused, err := c.DeleteSecretWithResponse(ctx, "acme", "stripe", nil)
	if err := contract.Check(refused, err); !errors.Is(err, contract.CodeReferenced) || !strings.Contains(err.Error(), "consumer billing: env KEY") {
		t.Errorf("error = %v", err)
	}
	forced, err := c.DeleteSecretWithResponse(ctx, "acme", "stripe", &contract.DeleteSecretParams{Force: pointer(true)})
	must(contract.Check(forced, err))
	gone, err := c.UpdateSecretWithResponse(ctx, "acme", "stripe", nil, contract.SecretUpdate{Value: pointer("x")})
	if err := contract.Check(gone, err); !errors.Is(err, contract.CodeNotFound) || !strings.Contains(err.Error(), "Undelete it first") {
		t.Errorf("error = %v", err)
	}
	deleted, err := c.ListSecretsWithResponse(ctx, "acme", &contract.ListSecretsParams{Deleted: pointer(true)})
	must(contract.Check(deleted, err))
	if len(deleted.JSON200.Items) != 1 || deleted.JSON200.Items[0].DeletedAt == nil {
		t.Errorf("got %+v", deleted.JSON200)
	}
	restored, err := c.UndeleteSecretWithResponse(ctx, "acme", "stripe", nil)
	must(contract.Check(restored, err))

	// In place from local to remote and back.
	prod := w.vault("acme", "vault-prod", "https://vault.example", "", "t", "kv/prod")
	remote, err := c.UpdateSecretWithResponse(ctx, "acme", "stripe", nil, contract.SecretUpdate{
		Storage: pointer(contract.StorageRemote), ProviderID: pointer("vault-prod"), RemotePath: pointer("kv/data/prod/stripe"), RemoteKey: pointer("value"),
	})
	must(contract.Check(remote, err))
	if s := remote.JSON200; s.Storage != contract.StorageRemote || s.ActiveVersion != nil || *s.RemoteKey != "value" {
		t.Errorf("got %+v", s)
	}
	repointed, err := c.UpdateSecretWithResponse(ctx, "acme", "stripe", nil, contract.SecretUpdate{RemotePath: pointer("kv/data/prod/other"), RemoteKey: pointer("")})
	must(contract.Check(repointed, err))
	if s := repointed.JSON200; *s.RemotePath != "kv/data/prod/other" || s.RemoteKey != nil || *s.ProviderID != prod.ID {
		t.Errorf("got %+v", s)
	}
	back, err := c.UpdateSecretWithResponse(ctx, "acme", "stripe", nil, contract.SecretUpdate{Value: pointer("fourth")})
	must(contract.Check(back, err))
	if s := back.JSON200; s.Storage != contract.StorageLocal || *s.ActiveVersion != 4 || s.ProviderID != nil {
		t.Errorf("got %+v", s)
	}

	// Consumers: PATCH leaves, PUT empties.
	updated, err := c.UpdateConsumerWithResponse(ctx, "acme", "billing", &contract.UpdateConsumerParams{IfMatch: &again.Headers200.ETag}, contract.ConsumerUpdate{
		Envs: &[]contract.Env{{Name: "KEY", Secret: &created.JSON201.ID, Version: pointer[uint64](4)}},
	})
	must(contract.Check(updated, err))
	if len(updated.JSON200.Bindings) != 1 || *updated.JSON200.Envs[0].Version != 4 || updated.JSON200.Kind != contract.ConsumerKindAgent {
		t.Errorf("got %+v", updated.JSON200)
	}
	replaced, err := c.ReplaceConsumerWithResponse(ctx, "acme", "billing", nil, contract.ConsumerCreate{Name: "billing"})
	must(contract.Check(replaced, err))
	if len(replaced.JSON200.Envs)+len(replaced.JSON200.Bindings) != 0 || replaced.JSON200.Kind != contract.ConsumerKindService {
		t.Errorf("got %+v", replaced.JSON200)
	}
	list, err := c.ListConsumersWithResponse(ctx, "acme", &contract.ListConsumersParams{Q: pointer("BILL")})
	must(contract.Check(list, err))
	if len(list.JSON200.Items) != 1 {
		t.Errorf("got %+v", list.JSON200)
	}

	// The log tells all of it.
	events, err := c.ListAuditEventsWithResponse(ctx, "acme", &contract.ListAuditEventsParams{Action: pointer("secret.put"), PageSize: pointer(2)})
	must(contract.Check(events, err))
	if n := len(events.JSON200.Items); n != 2 || events.JSON200.NextPageToken == nil || *events.JSON200.Items[0].Version != 4 || *events.JSON200.Items[0].RequestID != back.HTTPResponse.Header.Get("X-Request-Id") {
		t.Errorf("got %s", events.Body)
	}
	next, err := c.ListAuditEventsWithResponse(ctx, "acme", &contract.ListAuditEventsParams{Action: pointer("secret.put"), PageSize: pointer(2), PageToken: events.JSON200.NextPageToken})
	must(contract.Check(next, err))
	if n := len(next.JSON200.Items); n == 0 {
		t.Errorf("got %s", next.Body)
	}
	installation, err := c.ListInstallationAuditEventsWithResponse(ctx, &contract.ListInstallationAuditEventsParams{Actor: pointer("token:bootstrap")})
	must(contract.Check(installation, err))
	if n := len(installation.JSON200.Items); n != 1 {
		t.Errorf("got %s", installation.Body)
	}

	// And everything goes.
	busy, err := c.DeleteOrganizationWithResponse(ctx, "acme", nil)
	if err := contract.Check(busy, err); !errors.Is(err, contract.CodeReferenced) {
		t.Errorf("error = %v", err)
	}
	byeConsumer, err := c.DeleteConsumerWithResponse(ctx, "acme", "billing", nil)
	must(contract.Check(byeConsumer, err))
	byeSecret, err := c.DeleteSecretWithResponse(ctx, "acme", "stripe", nil)
	must(contract.Check(byeSecret, err))
	byeProvider, err := c.DeleteProviderWithResponse(ctx, "acme", "vault-prod", nil)
	must(contract.Check(byeProvider, err))
	bye, err := c.DeleteOrganizationWithResponse(ctx, "acme", nil)
	must(contract.Check(bye, err))
	none, err := c.GetOrganizationWithResponse(ctx, "acme", nil)
	if err := contract.Check(none, err); !errors.Is(err, contract.CodeNotFound) {
		t.Errorf("error = %v", err)
	}
}

func TestListsArePaged(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	for _, name := range []string{"a", "b", "c", "d"} {
		decode[contract.Secret](t, w.do("POST", "/api/v1/organizations/acme/secrets", `{"name":"`+name+`","labels":{"tier":"=1","n":"`+name+`"}}`))
	}
	var names []string
	for token := ""; ; {
		list := decode[contract.SecretList](t, w.do("GET", "/api/v1/organizations/acme/secrets?label=tier%3D%3D1&page_size=3&page_token="+token, ""))
		for _, s := range list.Items {
			names = append(names, s.Name)
		}
		if list.NextPageToken == nil {
			break
		}
		token = *list.NextPageToken
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "d"}, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	both := decode[contract.SecretList](t, w.do("GET", "/api/v1/organizations/acme/secrets?label=tier%3D%3D1&label=n=b", ""))
	if len(both.Items) != 1 || both.Items[0].Name != "b" {
		t.Errorf("got %+v", both)
	}
	if empty := w.do("GET", "/api/v1/organizations/acme/secrets?q=nothing", ""); strings.TrimSpace(string(empty.body)) != `{"items":[]}` {
		t.Errorf("an empty list is %s", empty.body)
	}
}
