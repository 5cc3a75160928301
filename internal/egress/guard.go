// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// ErrDenied means that the guard does not let the registry connect there.
var ErrDenied = errors.New("connecting there is not allowed by the operator")

// Guard is the operator's policy for outgoing connections. The zero Guard allows https to every address but the special ones; private networks, where most Vaults live, are allowed.
// A Guard must not be changed once it is used; it is safe for concurrent use.
type Guard struct {
	// AllowHTTP lets addresses begin with http://. Everything, credentials included, then travels in clear.
	AllowHTTP bool
	// Allow are networks that may be connected to although they are special, for example 127.0.0.0/8 in a test.
	Allow []netip.Prefix
	// AllowHosts are hosts (DNS names or IP addresses, without ports) whose addresses are not checked: the operator vouches for whoever answers for the name.
	AllowHosts []string
	// Deny are networks that may not be connected to besides the special ones, for example the one etcd is in. It wins over Allow; over AllowHosts it does not.
	Deny []netip.Prefix
}

// special are the networks that no secret provider is in, with what they are.
var special = []struct {
	network netip.Prefix
	what    string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "an unspecified address"},
	{netip.MustParsePrefix("127.0.0.0/8"), "a loopback address"},
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address"}, // 169.254.169.254 and 169.254.170.2 are metadata services
	{netip.MustParsePrefix("100.64.0.0/10"), "a shared (CGNAT) address"},
	{netip.MustParsePrefix("192.0.0.0/24"), "a protocol address"}, // 192.0.0.192 is Oracle's metadata service
	{netip.MustParsePrefix("192.0.2.0/24"), "a documentation address"},
	{netip.MustParsePrefix("198.51.100.0/24"), "a documentation address"},
	{netip.MustParsePrefix("203.0.113.0/24"), "a documentation address"},
	{netip.MustParsePrefix("192.88.99.0/24"), "a 6to4 relay"},
	{netip.MustParsePrefix("198.18.0.0/15"), "a benchmarking address"},
	{netip.MustParsePrefix("168.63.129.16/32"), "a metadata service"}, // Azure's
	{netip.MustParsePrefix("224.0.0.0/4"), "a multicast address"},
	{netip.MustParsePrefix("240.0.0.0/4"), "a reserved address"},
	{netip.MustParsePrefix("::/96"), "an unspecified, loopback or IPv4-compatible address"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "a translated address"},
	{netip.MustParsePrefix("100::/64"), "a discard address"},
	{netip.MustParsePrefix("2001::/23"), "a protocol address"}, // Teredo and ORCHID among them
	{netip.MustParsePrefix("2001:db8::/32"), "a documentation address"},
	{netip.MustParsePrefix("3fff::/20"), "a documentation address"},
	{netip.MustParsePrefix("5f00::/16"), "a segment routing address"},
	{netip.MustParsePrefix("fd00:ec2::/32"), "a metadata service"},    // Amazon's
	{netip.MustParsePrefix("fd20:ce::254/128"), "a metadata service"}, // Google's
	{netip.MustParsePrefix("fd00:42::42/128"), "a metadata service"},  // Scaleway's
	{netip.MustParsePrefix("fe80::/10"), "a link-local address"},
	{netip.MustParsePrefix("fec0::/10"), "a site-local address"},
	{netip.MustParsePrefix("ff00::/8"), "a multicast address"},
}

// Check returns nil if the registry may connect to addr, otherwise an error that wraps [ErrDenied] and names what addr is. An IPv4 address inside an IPv6 address (mapped, NAT64, 6to4, ISATAP) is
// judged as the IPv4 address it leads to.
func (g *Guard) Check(addr netip.Addr) error {
	if addr.Zone() != "" {
		return fmt.Errorf("%w: %s has a zone", ErrDenied, addr)
	}
	if slices.ContainsFunc(g.Deny, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return fmt.Errorf("%w: %s is in a denied network", ErrDenied, addr)
	}
	if inner, ok := embedded(addr); ok {
		if slices.ContainsFunc(g.Allow, func(p netip.Prefix) bool { return p.Contains(addr) }) && !addr.Is4In6() {
			return nil
		}
		return g.Check(inner)
	}
	if slices.ContainsFunc(g.Allow, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return nil
	}
	for _, s := range special {
		if s.network.Contains(addr) {
			return fmt.Errorf("%w: %s is %s", ErrDenied, addr, s.what)
		}
	}
	return nil
}

var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
)

// embedded returns the IPv4 address that packets to an IPv6 address end up at.
func embedded(addr netip.Addr) (netip.Addr, bool) {
	if addr.Is4In6() {
		return addr.Unmap(), true
	}
	if addr.Is4() {
		return addr, false
	}
	b := addr.As16()
	switch {
	case nat64.Contains(addr):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixToFour.Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case (b[8] == 0 || b[8] == 2) && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe: // ISATAP, under any prefix
		return netip.AddrFrom4([4]byte(b[12:16])), true
	}
	return addr, false
}

// exempt reports whether the operator vouches for a host, given in canonical form.
func (g *Guard) exempt(host string) bool {
	return slices.ContainsFunc(g.AllowHosts, func(allowed string) bool {
		return strings.EqualFold(strings.Trim(strings.TrimSuffix(allowed, "."), "[]"), host)
	})
}
