// SPDX-License-Identifier: Apache-2.0

package images

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"oras.land/oras-go/v2/registry"
)

// origin is where a registry answers.
type origin struct{ scheme, host string }

// originOf returns the origin of a URL, with its port.
func originOf(u *url.URL) origin {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return origin{u.Scheme, net.JoinHostPort(strings.ToLower(u.Hostname()), port)}
}

// registries are those the operator named.
type registries map[string]origin // :: host as images name it → where it is

// CheckRegistry reports what is wrong with the name of a registry as [Config] takes it.
func CheckRegistry(text string) error {
	_, err := parseRegistries([]string{text})
	return err
}

func parseRegistries(names []string) (registries, error) {
	all := make(registries, len(names))
	for _, name := range names {
		host, plain := strings.CutPrefix(name, "http://")
		scheme := "https"
		if plain {
			scheme = "http"
		}
		host = strings.ToLower(host)
		if err := (registry.Reference{Registry: host}).ValidateRegistry(); err != nil || host == "" {
			return nil, fmt.Errorf("image registry %q is not <host>[:<port>], with http:// in front if it is without TLS", name)
		}
		if host == "index.docker.io" || host == "registry-1.docker.io" {
			host = dockerHub
		}
		all[host] = origin{scheme, host}
		if host == dockerHub {
			all[host] = origin{scheme, "registry-1.docker.io"}
		}
	}
	return all, nil
}

// has reports whether u is of a registry of the operator's.
func (r registries) has(u *url.URL) bool {
	for _, o := range r {
		if originOf(&url.URL{Scheme: o.scheme, Host: o.host}) == originOf(u) {
			return true
		}
	}
	return false
}

// String lists the registries as images name them.
func (r registries) String() string { return strings.Join(slices.Sorted(maps.Keys(r)), ", ") }
