// SPDX-License-Identifier: Apache-2.0

package azure

import (
	"context"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/bearer"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// Name is the name of the type.
const Name = "azure_key_vault"

// Type is Azure Key Vault as a type of provider.
func Type() provider.Type {
	return provider.Type{
		Name:     Name,
		Validate: func(r provider.Record, host provider.Host) error { _, err := parse(r, host); return err },
		Path:     ref,
		Allows:   allows,
		Open:     func(r provider.Record, host provider.Host) (provider.Provider, error) { return Open(r, host) },
	}
}

// KeyVault is a provider. Open one with [Open].
type KeyVault struct {
	http     *http.Client
	secrets  *azsecrets.Client
	prefixes []string
}

var _ provider.Provider = (*KeyVault)(nil)

// Open returns a provider for a record. It does no I/O. The caller closes it.
func Open(r provider.Record, host provider.Host) (*KeyVault, error) {
	s, err := parse(r, host)
	if err != nil {
		return nil, err
	}
	client := rest.Client(host.Egress, s.tls)
	k, err := open(s, bearer.NewClient(client, keyVault, s.login(client, host)))
	if err != nil {
		return nil, err
	}
	k.http = client
	return k, nil
}

// open returns a provider whose requests are sent by transport, which authenticates them.
func open(s *settings, transport policy.Transporter) (*KeyVault, error) {
	options := &azsecrets.ClientOptions{}
	options.Transport = transport
	options.Retry.MaxRetries = -1
	options.Telemetry.Disabled = true
	secrets, err := azsecrets.NewClient(s.address.String(), nil, options) // without a credential it adds none and takes no challenge
	if err != nil {
		return nil, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonConfig, Message: "the client library refuses the configuration", Err: err}
	}
	return &KeyVault{secrets: secrets, prefixes: s.prefixes}, nil
}

// ref checks the name and version of a secret. Key Vault's names are the same in upper and lower case.
func ref(path, of string) (provider.Ref, error) {
	invalid := func(message string) (provider.Ref, error) {
		return provider.Ref{}, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonReference, Message: message}
	}
	if !name.MatchString(path) {
		return invalid("the path must be the name of a secret: 1 to 127 letters, digits and hyphens")
	}
	if of != "" && !version.MatchString(of) {
		return invalid("the version must be 32 hexadecimal digits in lower case")
	}
	return provider.Ref{Path: strings.ToLower(path), Version: of}, nil
}

func allows(path string, prefixes []string) bool {
	lower := make([]string, len(prefixes))
	for i, prefix := range prefixes {
		lower[i] = strings.ToLower(prefix)
	}
	return provider.AllowedName(path, "-", lower)
}

// Read implements [provider.Provider].
func (k *KeyVault) Read(ctx context.Context, ref provider.Ref) (provider.Document, error) {
	if !allows(ref.Path, k.prefixes) {
		return provider.Document{}, &provider.Error{Kind: provider.KindDenied, Reason: provider.ReasonPrefix, Message: "the path is outside the allowed prefixes of the provider"}
	}
	answer, err := k.secrets.GetSecret(ctx, ref.Path, ref.Version, nil)
	if err != nil {
		return provider.Document{}, explain(ctx, ref, err)
	}
	if answer.Value == nil {
		return provider.Document{}, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonNull, Message: "the secret has no value"}
	}
	return provider.NewText([]byte(*answer.Value)), nil
}

// Check implements [provider.Provider]. It gets a token if need be and asks for the name of one secret, which the token need not be allowed to see.
func (k *KeyVault) Check(ctx context.Context) error {
	_, err := k.secrets.NewListSecretPropertiesPager(nil).NextPage(ctx)
	if err == nil || permission(err) {
		return nil
	}
	return explain(ctx, provider.Ref{}, err)
}

// Close implements [provider.Provider]. Entra ID has no way to revoke an access token; it ends by itself within an hour or so.
func (k *KeyVault) Close() error {
	k.http.CloseIdleConnections()
	return nil
}
