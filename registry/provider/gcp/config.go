// SPDX-License-Identifier: Apache-2.0

package gcp

import (
	"cmp"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// Config is the configuration of a provider of type "gcp_secret_manager". It holds nothing secret.
type Config struct {
	// Project is the ID or number of the project the secrets are in.
	Project string `json:"project"`
	// Location of regional secrets, such as "europe-west3". Empty means global secrets.
	Location string `json:"location,omitempty"`
	// Address of Secret Manager. Empty means Google's own for the location.
	Address string `json:"address,omitempty"`
	// CABundle are the certificates, in PEM, of the authorities that may have signed those of all these servers. Empty means those of the system.
	CABundle string `json:"ca_bundle,omitempty"`
	Auth     Auth   `json:"auth"`
}

// Auth says how to get an access token.
type Auth struct {
	Method Method `json:"method"`
	// Provider is the full name of the workload identity provider, for workload_identity:
	// "//iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER".
	Provider string `json:"provider,omitempty"`
	// ServiceAccount is the e-mail address of a service account to act as, for workload_identity. Empty means the federated identity itself.
	ServiceAccount string `json:"service_account,omitempty"`
	// Audience of the registry's service account token, for workload_identity. Empty means "https:" and Provider, which is what Google expects unless told otherwise.
	Audience string `json:"audience,omitempty"`
	// TokenAddress, STSAddress and IAMAddress are the servers that give tokens for a service account key, for the registry's token, and for the service account to act as. Empty means Google's own.
	TokenAddress string `json:"token_address,omitempty"`
	STSAddress   string `json:"sts_address,omitempty"`
	IAMAddress   string `json:"iam_address,omitempty"`
}

// Method is a way to show who the registry is.
type Method string

// The methods.
const (
	MethodKey              Method = "service_account_key" // credentials: service_account_key
	MethodWorkloadIdentity Method = "workload_identity"   // no credentials: the registry's own Kubernetes service account, federated
)

// Credentials are stored encrypted and never shown.
type Credentials struct {
	// ServiceAccountKey is the JSON object of a key file. Where it says tokens come from is not followed.
	ServiceAccountKey json.RawMessage `json:"service_account_key,omitempty"`
}

var (
	project    = regexp.MustCompile(`^([a-z0-9.-]{1,63}:)?[a-z0-9][a-z0-9-]{0,62}$`)
	location   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	name       = regexp.MustCompile(`^[0-9A-Za-z_-]{1,255}$`)
	pool       = regexp.MustCompile(`^//iam\.googleapis\.com/projects/[0-9]{1,20}/locations/global/workloadIdentityPools/[a-z0-9-]{4,32}/providers/[a-z0-9-]{4,32}$`)
	account    = regexp.MustCompile(`^[0-9a-z-]{1,64}@[0-9a-z.-]{1,190}$`)
	ownAddress = regexp.MustCompile(`^https://secretmanager\.([a-z0-9-]+\.rep\.)?googleapis\.com$`)
)

const ownIAM = "https://iamcredentials.googleapis.com"

// settings is a record that was checked.
type settings struct {
	Config
	key             *key // nil with workload identity
	address         *url.URL
	token, sts, iam *url.URL
	tls             *tls.Config
	prefixes        []string
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
	if !project.MatchString(s.Project) {
		return nil, errors.New("config.project: required, the ID or number of a project")
	}
	own := "https://secretmanager.googleapis.com"
	if s.Location != "" {
		if !location.MatchString(s.Location) {
			return nil, errors.New("config.location: not a location such as europe-west3")
		}
		own = "https://secretmanager." + s.Location + ".rep.googleapis.com"
	}
	for _, server := range []struct {
		field, address, own string
		into                **url.URL
	}{
		{"address", s.Address, own, &s.address},
		{"auth.token_address", s.Auth.TokenAddress, "https://oauth2.googleapis.com", &s.token},
		{"auth.sts_address", s.Auth.STSAddress, "https://sts.googleapis.com", &s.sts},
		{"auth.iam_address", s.Auth.IAMAddress, ownIAM, &s.iam},
	} {
		address, err := host.Egress.ParseAddress(cmp.Or(server.address, server.own))
		if err != nil {
			return nil, fmt.Errorf("config.%s: %w", server.field, err)
		}
		*server.into = address
	}
	var err error
	if s.tls, err = rest.TLS(s.CABundle, ""); err != nil {
		return nil, fmt.Errorf("config.ca_bundle: %w", err)
	}
	for i, prefix := range r.AllowedPrefixes {
		if !name.MatchString(prefix) {
			return nil, fmt.Errorf("allowed_prefixes/%d: names of secrets have letters, digits, hyphens and underscores only", i)
		}
	}
	s.prefixes = slices.Clone(r.AllowedPrefixes)
	return s, s.checkAuth(r, host)
}

func (s *settings) checkAuth(r provider.Record, host provider.Host) error {
	var credentials Credentials
	if raw := r.Credentials.Reveal(); len(raw) > 0 && rest.Strictly(raw, &credentials) != nil { // its error may quote what is secret
		return errors.New("credentials: not an object with service_account_key")
	}
	a := &s.Auth
	switch a.Method {
	case MethodKey:
		if a.Provider != "" || a.ServiceAccount != "" || a.Audience != "" {
			return errors.New("config.auth.method: provider, service_account and audience are for method workload_identity")
		}
		var err error
		if s.key, err = parseKey(credentials.ServiceAccountKey); err != nil {
			return fmt.Errorf("credentials.service_account_key: %w", err)
		}
		return nil
	case MethodWorkloadIdentity:
		if len(credentials.ServiceAccountKey) > 0 {
			return errors.New("credentials.service_account_key: not used by method workload_identity")
		}
		if !pool.MatchString(a.Provider) {
			return errors.New("config.auth.provider: required, //iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER")
		}
		if a.ServiceAccount != "" && !account.MatchString(a.ServiceAccount) {
			return errors.New("config.auth.service_account: not the e-mail address of a service account")
		}
		a.Audience = cmp.Or(a.Audience, "https:"+a.Provider)
		return s.trusted(host)
	default:
		return errors.New("config.auth.method: must be service_account_key or workload_identity")
	}
}

// trusted refuses to show the registry's own service account to a server the operator does not know, and the access tokens it gets for it, which are good for all the identity may do, to servers that are
// not Google's.
func (s *settings) trusted(host provider.Host) error {
	lists := func(u *url.URL) bool { return slices.Contains(host.TrustedAddresses, u.String()) }
	switch {
	case host.ServiceAccountToken == nil || !lists(s.sts):
		return errors.New("config.auth.method: workload_identity is allowed only if the operator lists the address of Google's token service as trusted")
	case s.iam.String() != ownIAM && !lists(s.iam):
		return errors.New("config.auth.iam_address: with workload_identity it must be Google's own, or listed by the operator as trusted")
	case !ownAddress.MatchString(s.address.String()) && !lists(s.address):
		return errors.New("config.address: with workload_identity it must be Google's own, or listed by the operator as trusted")
	}
	return nil
}
