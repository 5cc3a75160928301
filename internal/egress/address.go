// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// ErrAddress is wrapped by every error of [Guard.ParseAddress].
var ErrAddress = errors.New("address not usable")

const maxAddress = 512 // far above any real one: a host has at most 253 characters

// ParseAddress returns the canonical form of the address of a provider: scheme, host in lower case without a trailing dot, port if it is not the scheme's own, and a path
// without a trailing slash. Two spellings of one address give the same result.
//
// Refused are user information, query, fragment, escapes and dot segments, hosts that are not plainly a DNS name or an IP address in its usual form (octal, hexadecimal, short or decimal
// IPv4, IPv4 in IPv6, zones), and IP addresses the guard denies. Names are not resolved here. The error wraps [ErrAddress] and does not quote the address, which may hold a password.
func (g *Guard) ParseAddress(raw string) (*url.URL, error) {
	u, err := split(raw)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !g.AllowHTTP) {
		return nil, fmt.Errorf("%w: it must begin with https://", ErrAddress)
	}
	host, port, err := hostPort(u)
	if err != nil {
		return nil, err
	}
	canonical, err := canonicalHost(host)
	if err != nil {
		return nil, err
	}
	if addr, err := netip.ParseAddr(canonical); err == nil && !g.exempt(canonical) {
		if err := g.Check(addr); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrAddress, err)
		}
	}
	path, err := canonicalPath(u.Path)
	if err != nil {
		return nil, err
	}
	if strings.Contains(canonical, ":") {
		canonical = "[" + canonical + "]"
	}
	if port != "" && port != defaultPort[u.Scheme] {
		canonical = canonical + ":" + port
	}
	return &url.URL{Scheme: u.Scheme, Host: canonical, Path: path}, nil
}

var defaultPort = map[string]string{"https": "443", "http": "80"}

// split does what url.Parse does, for addresses that no two parsers read differently.
func split(raw string) (*url.URL, error) {
	if raw == "" || len(raw) > maxAddress {
		return nil, fmt.Errorf("%w: it must have 1 to %d characters", ErrAddress, maxAddress)
	}
	for i := range len(raw) {
		switch c := raw[i]; {
		case c <= ' ' || c >= 0x7f:
			return nil, fmt.Errorf("%w: only printable ASCII is allowed; write international names in punycode", ErrAddress)
		case strings.IndexByte(`\%?#@"<>^{|}`+"`", c) >= 0:
			return nil, fmt.Errorf("%w: user information, query, fragment, escapes and %q are not allowed", ErrAddress, string(c))
		}
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		return nil, fmt.Errorf("%w: it must look like https://vault.example.com:8200", ErrAddress)
	}
	return u, nil
}

func hostPort(u *url.URL) (host, port string, err error) {
	host, port = u.Host, ""
	if i := strings.LastIndexByte(u.Host, ':'); i >= 0 && !strings.HasSuffix(u.Host, "]") {
		if host, port, err = net.SplitHostPort(u.Host); err != nil {
			return "", "", fmt.Errorf("%w: its host and port cannot be told apart", ErrAddress)
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			return "", "", fmt.Errorf("%w: its port must be a number from 1 to 65535", ErrAddress)
		}
		if strings.HasPrefix(u.Host, "[") {
			host = "[" + host + "]"
		}
	}
	return host, port, nil
}

// canonicalHost returns an IP address in its usual form, without brackets, or a DNS name in lower case without its trailing dot.
func canonicalHost(host string) (string, error) {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		if !ok || err != nil || !addr.Is6() || addr.Is4In6() || addr.Zone() != "" {
			return "", fmt.Errorf("%w: its host is not an IPv6 address, or has a zone or an IPv4 address inside", ErrAddress)
		}
		return addr.String(), nil
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	labels := strings.Split(host, ".")
	if numeric(labels[len(labels)-1]) {
		addr, err := netip.ParseAddr(host)
		if err != nil || !addr.Is4() {
			return "", fmt.Errorf("%w: its host ends in a number but is not an IPv4 address of four decimal parts", ErrAddress)
		}
		return addr.String(), nil
	}
	if len(host) > 253 {
		return "", fmt.Errorf("%w: its host is longer than 253 characters", ErrAddress)
	}
	for _, label := range labels {
		if !dnsLabel(label) {
			return "", fmt.Errorf("%w: its host is not a DNS name", ErrAddress)
		}
	}
	return host, nil
}

// numeric reports whether some parser would take a host that ends in label for an IPv4 address: decimal, octal or hexadecimal.
func numeric(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return label != "" && strings.Trim(label, "0123456789") == ""
}

func dnsLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	return strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// canonicalPath is for servers behind a gateway that keeps them under a path.
func canonicalPath(path string) (string, error) {
	path = strings.TrimSuffix(path, "/")
	if path == "" {
		return "", nil
	}
	for _, segment := range strings.Split(path[1:], "/") {
		if strings.Trim(segment, ".") == "" || strings.Trim(segment, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~") != "" {
			return "", fmt.Errorf("%w: its path has an empty segment, a dot segment or a character that is not a letter, digit, '-', '_', '.' or '~'", ErrAddress)
		}
	}
	return path, nil
}
