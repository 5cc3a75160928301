// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// Config is the configuration of a provider of both types. It holds nothing secret.
type Config struct {
	// Region the secrets are in: eu-central-1.
	Region string `json:"region"`
	// Endpoint is the address of the service, if it is not the public one of the region: that of a VPC endpoint.
	Endpoint string `json:"endpoint,omitempty"`
	// CABundle are the certificates, in PEM, of the authorities that may have signed those of Endpoint and STSEndpoint. Empty means those of the system.
	CABundle string `json:"ca_bundle,omitempty"`
	Auth     Auth   `json:"auth"`
}

// Auth says as whom to ask.
type Auth struct {
	Method Method `json:"method"`
	// RoleARN is required by web_identity: the role to assume.
	RoleARN string `json:"role_arn,omitempty"`
	// Audience of the registry's service account token, for web_identity. Empty means "vault", the registry's default.
	Audience string `json:"audience,omitempty"`
	// STSEndpoint is the address of the security token service, if it is not the public one of the region.
	STSEndpoint string `json:"sts_endpoint,omitempty"`
}

// Method is a way to authenticate.
type Method string

// The methods.
const (
	MethodStatic      Method = "static"       // credentials: access_key_id, secret_access_key and perhaps session_token
	MethodWebIdentity Method = "web_identity" // no credentials: the registry's own service account assumes a role
)

// Credentials are stored encrypted and never shown. Only the method static has any.
type Credentials struct {
	AccessKeyID     string `json:"access_key_id,omitempty"`
	SecretAccessKey string `json:"secret_access_key,omitempty"`
	SessionToken    string `json:"session_token,omitempty"`
}

const defaultAudience = "vault"

var (
	// A region becomes part of a host name, so nothing else may pass.
	regionForm = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]{2,12}){1,3}-[0-9]{1,2}$`)
	roleForm   = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}$`)
)

// settings is a record that was checked.
type settings struct {
	Config
	credentials Credentials
	endpoint    *url.URL // nil: the public one
	sts         *url.URL // with web_identity
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
			return nil, errors.New("credentials: not an object with access_key_id, secret_access_key and session_token")
		}
	}
	if !regionForm.MatchString(s.Region) {
		return nil, errors.New("config.region: must be a region such as eu-central-1")
	}
	var err error
	if s.Endpoint != "" {
		if s.endpoint, err = host.Egress.ParseAddress(s.Endpoint); err != nil {
			return nil, fmt.Errorf("config.endpoint: %w", err)
		}
	}
	if s.tls, err = rest.TLS(s.CABundle, ""); err != nil {
		return nil, fmt.Errorf("config.ca_bundle: %w", err)
	}
	for i, prefix := range r.AllowedPrefixes {
		prefix = strings.Trim(prefix, "/")
		if _, err := provider.CleanPath(prefix); err != nil {
			return nil, fmt.Errorf("allowed_prefixes/%d: %w", i, err)
		}
		s.prefixes = append(s.prefixes, prefix)
	}
	return s, s.checkAuth(host)
}

func (s *settings) checkAuth(host provider.Host) error {
	c, a := s.credentials, &s.Auth
	switch a.Method {
	case MethodStatic:
		switch {
		case !rest.Printable(c.AccessKeyID):
			return errors.New("credentials.access_key_id: required by method static, printable ASCII without spaces")
		case !rest.Printable(c.SecretAccessKey):
			return errors.New("credentials.secret_access_key: required by method static, printable ASCII without spaces")
		case c.SessionToken != "" && !rest.Printable(c.SessionToken):
			return errors.New("credentials.session_token: must be printable ASCII without spaces")
		case a.RoleARN != "":
			return errors.New("config.auth.role_arn: not used by method static")
		}
		return nil
	case MethodWebIdentity:
		if c != (Credentials{}) {
			return errors.New("credentials: not used by method web_identity")
		}
		if !roleForm.MatchString(a.RoleARN) {
			return errors.New("config.auth.role_arn: required by method web_identity: arn:aws:iam::<account>:role/<name>")
		}
		if a.Audience == "" {
			a.Audience = defaultAudience
		}
		return s.trusted(host)
	default:
		return errors.New("config.auth.method: must be static or web_identity")
	}
}

// trusted refuses to show the registry's own service account to a token service the operator does not know: whoever runs it could assume the operator's roles as the registry.
func (s *settings) trusted(host provider.Host) error {
	address := s.Auth.STSEndpoint
	if address == "" {
		public, err := sts.NewDefaultEndpointResolverV2().ResolveEndpoint(context.Background(), sts.EndpointParameters{Region: &s.Region}.WithDefaults())
		if err != nil {
			return errors.New("config.region: it has no token service")
		}
		address = public.URI.String()
	}
	var err error
	if s.sts, err = host.Egress.ParseAddress(address); err != nil {
		return fmt.Errorf("config.auth.sts_endpoint: %w", err)
	}
	if host.ServiceAccountToken == nil || !slices.Contains(host.TrustedAddresses, s.sts.String()) {
		return fmt.Errorf("config.auth.method: web_identity is allowed only if the operator lists the token service as trusted: %s", s.sts)
	}
	return nil
}
