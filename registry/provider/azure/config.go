// SPDX-License-Identifier: Apache-2.0

package azure

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// Config is the configuration of a provider of type "azure_key_vault". It holds nothing secret.
type Config struct {
	// Address of the vault: https://NAME.vault.azure.net.
	Address string `json:"address"`
	// CABundle are the certificates, in PEM, of the authorities that may have signed those of the vault and of Entra ID. Empty means those of the system.
	CABundle string `json:"ca_bundle,omitempty"`
	Auth     Auth   `json:"auth"`
}

// Auth says how to get a token of Entra ID.
type Auth struct {
	Method Method `json:"method"`
	// TenantID and ClientID name the application: the client's is also called application ID.
	TenantID string `json:"tenant_id"`
	ClientID string `json:"client_id"`
	// Authority is where Entra ID is. Empty means https://login.microsoftonline.com.
	Authority string `json:"authority,omitempty"`
	// Audience of the registry's service account token, for workload_identity. Empty means "api://AzureADTokenExchange".
	Audience string `json:"audience,omitempty"`
}

// Method is a way to show who the registry is.
type Method string

// The methods.
const (
	MethodClientSecret     Method = "client_secret"     // credentials: client_secret
	MethodWorkloadIdentity Method = "workload_identity" // no credentials: the registry's own service account, which the application trusts
)

// Credentials are stored encrypted and never shown.
type Credentials struct {
	ClientSecret string `json:"client_secret,omitempty"`
}

const (
	defaultAuthority = "https://login.microsoftonline.com"
	defaultAudience  = "api://AzureADTokenExchange"
)

// clouds are the domains of Key Vault, which only Microsoft can have names in.
var clouds = []string{"vault.azure.net", "vault.azure.cn", "vault.usgovcloudapi.net"}

var (
	identifier = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.-]{0,127}$`) // a GUID, or the domain of a tenant
	name       = regexp.MustCompile(`^[0-9A-Za-z-]{1,127}$`)
	version    = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// settings is a record that was checked.
type settings struct {
	Config
	credentials Credentials
	address     *url.URL
	authority   *url.URL
	scope       string
	tls         *tls.Config
	prefixes    []string
}

// parse checks a record. The error names the field; it is an [*provider.Error] of KindInvalid.
func parse(r provider.Record, host provider.Host) (*settings, error) {
	s, err := parseFields(r, host)
	if err != nil {
		return nil, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonConfig, Provider: r.Name, Message: err.Error()}
	}
	return s, nil
}

func parseFields(r provider.Record, host provider.Host) (*settings, error) {
	s := &settings{}
	if err := rest.Strictly(r.Config, &s.Config); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if raw := r.Credentials.Reveal(); len(raw) > 0 {
		if rest.Strictly(raw, &s.credentials) != nil { // its error may quote what is secret
			return nil, errors.New("credentials: not an object with client_secret")
		}
	}
	var err error
	if s.address, err = host.Egress.ParseAddress(s.Address); err != nil {
		return nil, fmt.Errorf("config.address: %w", err)
	}
	if s.authority, err = host.Egress.ParseAddress(cmp.Or(s.Auth.Authority, defaultAuthority)); err != nil {
		return nil, fmt.Errorf("config.auth.authority: %w", err)
	}
	if s.tls, err = rest.TLS(s.CABundle, ""); err != nil {
		return nil, fmt.Errorf("config.ca_bundle: %w", err)
	}
	for i, prefix := range r.AllowedPrefixes {
		if !name.MatchString(prefix) {
			return nil, fmt.Errorf("allowed_prefixes/%d: names of secrets have letters, digits and hyphens only", i)
		}
	}
	s.prefixes = slices.Clone(r.AllowedPrefixes)
	s.scope = "https://" + cmp.Or(s.cloud(), clouds[0]) + "/.default"
	return s, s.checkAuth(host)
}

// cloud returns the domain of Key Vault that the address is in; empty if in none.
func (s *settings) cloud() string {
	_, domain, _ := strings.Cut(s.address.Host, ".")
	if s.address.Scheme != "https" || !slices.Contains(clouds, domain) {
		return ""
	}
	return domain
}

func (s *settings) checkAuth(host provider.Host) error {
	a := &s.Auth
	a.Audience = cmp.Or(a.Audience, defaultAudience)
	if !identifier.MatchString(a.TenantID) {
		return errors.New("config.auth.tenant_id: required, the ID or a domain of the tenant")
	}
	if !identifier.MatchString(a.ClientID) {
		return errors.New("config.auth.client_id: required, the ID of the application")
	}
	switch a.Method {
	case MethodClientSecret:
		if !rest.Printable(s.credentials.ClientSecret) {
			return errors.New("credentials.client_secret: required, printable ASCII without spaces")
		}
		return nil
	case MethodWorkloadIdentity:
		if s.credentials.ClientSecret != "" {
			return errors.New("credentials.client_secret: not used by method workload_identity")
		}
		return s.trusted(host)
	default:
		return errors.New("config.auth.method: must be client_secret or workload_identity")
	}
}

// trusted refuses to show the registry's own service account to an authority the operator does not know, and the access token it gets for it, which is good for every vault the application may read, to
// a server that is not Microsoft's.
func (s *settings) trusted(host provider.Host) error {
	if host.ServiceAccountToken == nil || !slices.Contains(host.TrustedAddresses, s.authority.String()) {
		return errors.New("config.auth.method: workload_identity is allowed only if the operator lists the authority as trusted")
	}
	if s.cloud() == "" && !slices.Contains(host.TrustedAddresses, s.address.String()) {
		return errors.New("config.address: with workload_identity it must be in a domain of Key Vault, such as vault.azure.net, or listed by the operator as trusted")
	}
	return nil
}
