// SPDX-License-Identifier: Apache-2.0

package kubernetes

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

// Config is the configuration of a provider of type "kubernetes". It holds nothing secret.
type Config struct {
	// Address of the API server. Empty means that of the registry's own cluster, which is asked with the registry's own service account.
	Address string `json:"address,omitempty"`
	// CABundle are the certificates, in PEM, of the authorities that may have signed the server's. Empty means those of the system.
	CABundle string `json:"ca_bundle,omitempty"`
	// TLSServerName is what the server's certificate must be for, if that is not the host of Address.
	TLSServerName string `json:"tls_server_name,omitempty"`
}

// Credentials are stored encrypted and never shown. They are required with an address, and there are none without.
type Credentials struct {
	Token string `json:"token,omitempty"`
}

// settings is a record that was checked.
type settings struct {
	Config
	credentials Credentials
	address     *url.URL
	tls         *tls.Config // without the authority of the registry's own cluster, which is read when it is needed
	prefixes    []string
	cluster     *provider.Cluster // nil with an address
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
			return nil, errors.New("credentials: not an object with token")
		}
	}
	if err := s.parsePrefixes(r.AllowedPrefixes); err != nil {
		return nil, err
	}
	if s.Address == "" {
		return s, s.parseOwn(host)
	}
	var err error
	if s.address, err = host.Egress.ParseAddress(s.Address); err != nil {
		return nil, fmt.Errorf("config.address: %w", err)
	}
	if s.tls, err = rest.TLS(s.CABundle, s.TLSServerName); err != nil {
		return nil, fmt.Errorf("config.ca_bundle: %w", err)
	}
	if !rest.Printable(s.credentials.Token) {
		return nil, errors.New("credentials.token: required with config.address, printable ASCII without spaces")
	}
	return s, nil
}

// parseOwn checks a record that names no address. Whatever the registry's service account may read could be read by whoever may create such a provider, so it must name its namespaces,
// and the operator must have listed them.
func (s *settings) parseOwn(host provider.Host) error {
	switch {
	case host.Cluster == nil:
		return errors.New("config.address: required: the operator does not let providers read Secrets of the registry's own cluster")
	case s.credentials.Token != "":
		return errors.New("credentials.token: not used without config.address")
	case s.CABundle != "":
		return errors.New("config.ca_bundle: not used without config.address")
	case s.TLSServerName != "":
		return errors.New("config.tls_server_name: not used without config.address")
	case len(s.prefixes) == 0:
		return errors.New("allowed_prefixes: required without config.address: name the namespaces, or <namespace>/<name>")
	}
	for i, prefix := range s.prefixes {
		if !listed(host.Cluster, prefix) {
			return fmt.Errorf("allowed_prefixes/%d: the operator does not let providers read Secrets of this namespace", i)
		}
	}
	var err error
	if s.address, err = host.Egress.ParseAddress(host.Cluster.Address); err != nil {
		return fmt.Errorf("config.address: that of the registry's own cluster: %w", err)
	}
	s.cluster = host.Cluster
	return nil
}

func listed(cluster *provider.Cluster, path string) bool {
	namespace, _, _ := strings.Cut(path, "/")
	return slices.Contains(cluster.Namespaces, namespace)
}

func (s *settings) parsePrefixes(prefixes []string) error {
	for i, prefix := range prefixes {
		namespace, name, named := strings.Cut(strings.TrimSuffix(prefix, "/"), "/")
		if !label(namespace) || named && !subdomain(name) {
			return fmt.Errorf("allowed_prefixes/%d: neither <namespace> nor <namespace>/<name>", i)
		}
		s.prefixes = append(s.prefixes, strings.TrimSuffix(prefix, "/"))
	}
	return nil
}
