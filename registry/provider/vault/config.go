// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// Config is the configuration of a provider of type "vault". It holds nothing secret.
type Config struct {
	// Address of the server, or of the load balancer in front of its active node: https://vault.example.com:8200.
	Address string `json:"address"`
	// Namespace of Vault Enterprise or OpenBao; the login and the mounts are in it.
	Namespace string `json:"namespace,omitempty"`
	// CABundle are the certificates, in PEM, of the authorities that may have signed the server's. Empty means those of the system.
	CABundle string `json:"ca_bundle,omitempty"`
	// TLSServerName is what the server's certificate must be for, if that is not the host of Address.
	TLSServerName string `json:"tls_server_name,omitempty"`
	Auth          Auth   `json:"auth"`
	// Mounts tells the engines of mounts that the credentials may not ask about. What is not listed is found out.
	Mounts []Mount `json:"mounts,omitempty"`
}

// Auth says how to log in.
type Auth struct {
	Method Method `json:"method"`
	// Mode says with whose service account kubernetes and jwt log in. Empty means the registry's own, or for jwt the one of the credentials.
	Mode Mode `json:"mode,omitempty"`
	// Mount is where the method is enabled, without "auth/". Empty means the name of the method.
	Mount string `json:"mount,omitempty"`
	// Role is required by kubernetes, and optional for jwt, whose mount may have a default.
	Role string `json:"role,omitempty"`
	// RoleID is required by approle.
	RoleID string `json:"role_id,omitempty"`
	// Audience of the service account token, for kubernetes, and for jwt without a jwt among the credentials. Empty means "vault".
	Audience string `json:"audience,omitempty"`
}

// Method is a way to log in.
type Method string

// The methods.
const (
	MethodToken      Method = "token"      // credentials: token
	MethodAppRole    Method = "approle"    // credentials: secret_id, unless the role needs none
	MethodKubernetes Method = "kubernetes" // no credentials: the registry's own service account
	MethodJWT        Method = "jwt"        // credentials: jwt, or none to use the registry's own service account
)

// Mode says whose identity logs in.
type Mode string

// ModePassThrough logs in with the pod's own service account, for each start anew: then the server's own policies decide what which pod may read.
const ModePassThrough Mode = "passthrough"

// Mount is a secrets engine.
type Mount struct {
	Path   string `json:"path"`
	Engine Engine `json:"engine"`
}

// Engine says how the paths of a mount are read.
type Engine string

// The engines.
const (
	EngineKV1     Engine = "kv-v1"
	EngineKV2     Engine = "kv-v2"
	EngineDynamic Engine = "dynamic" // anything else that answers GET; each read may create credentials
)

// Credentials are stored encrypted and never shown. Which one is needed depends on the method.
type Credentials struct {
	Token    string `json:"token,omitempty"`
	SecretID string `json:"secret_id,omitempty"`
	JWT      string `json:"jwt,omitempty"`
}

const defaultAudience = "vault"

// settings is a record that was checked.
type settings struct {
	Config
	credentials Credentials
	address     *url.URL
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
			return nil, errors.New("credentials: not an object with token, secret_id or jwt")
		}
	}
	var err error
	if s.address, err = host.Egress.ParseAddress(s.Address); err != nil {
		return nil, fmt.Errorf("config.address: %w", err)
	}
	if s.tls, err = rest.TLS(s.CABundle, s.TLSServerName); err != nil {
		return nil, fmt.Errorf("config.ca_bundle: %w", err)
	}
	if err := s.checkPaths(r.AllowedPrefixes); err != nil {
		return nil, err
	}
	if s.passesThrough() && r.LastKnownGood > 0 {
		return nil, errors.New("last_known_good: not with config.auth.mode passthrough: what one pod was allowed to read would be given to others")
	}
	return s, s.checkAuth(host)
}

func (s *settings) checkPaths(prefixes []string) error {
	clean := func(field string, path *string) error {
		trimmed := strings.TrimSuffix(*path, "/")
		if trimmed == "" && *path == "" {
			return nil
		}
		cleaned, err := provider.CleanPath(trimmed)
		if err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
		*path = cleaned
		return nil
	}
	if err := clean("config.namespace", &s.Namespace); err != nil {
		return err
	}
	if err := clean("config.auth.mount", &s.Auth.Mount); err != nil {
		return err
	}
	for i := range s.Mounts {
		m := &s.Mounts[i]
		if err := clean(fmt.Sprintf("config.mounts/%d/path", i), &m.Path); err != nil {
			return err
		}
		if m.Path == "" || reserved(m.Path) {
			return fmt.Errorf("config.mounts/%d/path: not the path of a secrets engine", i)
		}
		if !slices.Contains([]Engine{EngineKV1, EngineKV2, EngineDynamic}, m.Engine) {
			return fmt.Errorf("config.mounts/%d/engine: must be kv-v1, kv-v2 or dynamic", i)
		}
	}
	s.prefixes = slices.Clone(prefixes)
	for i := range s.prefixes {
		if err := clean(fmt.Sprintf("allowed_prefixes/%d", i), &s.prefixes[i]); err != nil {
			return err
		}
		if s.prefixes[i] == "" {
			return fmt.Errorf("allowed_prefixes/%d: empty; leave the list empty to allow every path", i)
		}
	}
	return nil
}

func (s *settings) checkAuth(host provider.Host) error {
	a, c := &s.Auth, s.credentials
	if a.Mount == "" {
		a.Mount = string(a.Method)
	}
	if a.Audience == "" {
		a.Audience = defaultAudience
	}
	given := map[string]bool{"token": c.Token != "", "secret_id": c.SecretID != "", "jwt": c.JWT != ""}
	only := func(name string) error {
		for other, set := range given {
			if set && other != name {
				return fmt.Errorf("credentials.%s: not used by method %s", other, a.Method)
			}
		}
		return nil
	}
	switch a.Mode {
	case "":
	case ModePassThrough:
		return s.checkPassThrough(host, only)
	default:
		return errors.New("config.auth.mode: must be passthrough, or left out")
	}
	switch a.Method {
	case MethodToken:
		if !rest.Printable(c.Token) {
			return errors.New("credentials.token: required, printable ASCII without spaces")
		}
		return only("token")
	case MethodAppRole:
		if a.RoleID == "" {
			return errors.New("config.auth.role_id: required by method approle")
		}
		return only("secret_id")
	case MethodJWT:
		if c.JWT == "" {
			return errors.Join(only("jwt"), s.trusted(host))
		}
		return only("jwt")
	case MethodKubernetes:
		if a.Role == "" {
			return errors.New("config.auth.role: required by method kubernetes")
		}
		return errors.Join(only(""), s.trusted(host))
	default:
		return errors.New("config.auth.method: must be token, approle, kubernetes or jwt")
	}
}

// trusted refuses to show the registry's own service account to a server the operator does not know: whoever runs it could log in to the operator's Vault as the registry.
func (s *settings) trusted(host provider.Host) error {
	if host.ServiceAccountToken == nil || !slices.Contains(host.TrustedAddresses, s.address.String()) {
		return fmt.Errorf("config.auth.method: %s with the registry's own service account is allowed only for servers the operator lists as trusted", s.Auth.Method)
	}
	return nil
}
