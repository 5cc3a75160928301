// SPDX-License-Identifier: Apache-2.0

package azure

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets/fake"

	"github.com/lanyard-dev/lanyard/registry/provider"
)

// signed adds the token that package bearer would.
type signed struct{ policy.Transporter }

func (s signed) Do(r *http.Request) (*http.Response, error) {
	r.Header.Set("Authorization", "Bearer token")
	return s.Transporter.Do(r)
}

// The library's own fake checks that requests are those of the API as its makers see it.
func TestTheLibrarysOwnFakeIsUnderstood(t *testing.T) {
	server := fake.Server{GetSecret: func(_ context.Context, name, version string, _ *azsecrets.GetSecretOptions) (ok azfake.Responder[azsecrets.GetSecretResponse], failed azfake.ErrorResponder) {
		switch {
		case name == "db" && version == "":
			value := `{"user":"u"}`
			ok.SetResponse(http.StatusOK, azsecrets.GetSecretResponse{Secret: azsecrets.Secret{Value: &value}}, nil)
		case name == "busy":
			failed.SetResponseError(http.StatusTooManyRequests, "Throttled")
		default:
			failed.SetResponseError(http.StatusNotFound, "SecretNotFound")
		}
		return ok, failed
	}}
	k, err := open(&settings{address: &url.URL{Scheme: "https", Host: "acme.vault.azure.net"}}, signed{fake.NewServerTransport(&server)})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := k.Read(t.Context(), provider.Ref{Path: "db"})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := doc.Value("user"); err != nil || string(v.Reveal()) != "u" {
		t.Errorf("user = %q, %v", v.Reveal(), err)
	}
	for name, want := range map[string]provider.Kind{"busy": provider.KindThrottled, "none": provider.KindNotFound} {
		_, err := k.Read(t.Context(), provider.Ref{Path: name})
		if e, ok := errors.AsType[*provider.Error](err); !ok || e.Kind != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
