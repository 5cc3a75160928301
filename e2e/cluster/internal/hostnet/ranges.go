// SPDX-License-Identifier: Apache-2.0

// Package hostnet prepares the machine's own network for a single-node cluster
// and puts it back: address ranges, the node's address, packet filter rules and
// kernel settings. Everything it makes carries the cluster's marks, so that it
// removes exactly that.
package hostnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
)

// Ranges are the addresses of one cluster, all cut from one block of 65,536.
type Ranges struct {
	// Node is the machine's address in the cluster.
	Node netip.Addr `json:"node"`
	// Services are virtual: the packet filter rewrites them.
	Services netip.Prefix `json:"services"`
	// Pods has room for about 1,000 pods.
	Pods netip.Prefix `json:"pods"`
}

// APIService is the ClusterIP of kubernetes.default, the first of the range.
func (r Ranges) APIService() netip.Addr { return offset(r.Services.Addr(), 0, 1) }

// DNSService is the ClusterIP of kube-dns, the tenth by custom.
func (r Ranges) DNSService() netip.Addr { return offset(r.Services.Addr(), 0, 10) }

// blocks are tried in order: private use, then the range for benchmarks (RFC
// 2544), then the range of carriers (RFC 6598), which VPNs like as well.
func blocks() []netip.Addr {
	var all []netip.Addr
	for second := byte(244); second >= 200; second-- {
		all = append(all, netip.AddrFrom4([4]byte{10, second}))
	}
	for second := byte(31); second >= 20; second-- {
		all = append(all, netip.AddrFrom4([4]byte{172, second}))
	}
	all = append(all, netip.AddrFrom4([4]byte{198, 18}), netip.AddrFrom4([4]byte{198, 19}))
	for second := byte(127); second >= 64; second-- {
		all = append(all, netip.AddrFrom4([4]byte{100, second}))
	}
	return all
}

// Choose returns ranges that overlap none of used.
func Choose(used []netip.Prefix) (Ranges, error) {
next:
	for _, base := range blocks() {
		block := netip.PrefixFrom(base, 16)
		for _, other := range used {
			if block.Overlaps(other) {
				continue next
			}
		}
		return Ranges{
			Services: netip.PrefixFrom(base, 20),
			Pods:     netip.PrefixFrom(offset(base, 64, 0), 22),
			Node:     offset(base, 255, 1),
		}, nil
	}
	return Ranges{}, errors.New("choosing addresses: the machine's routes leave no private block of 65,536 addresses free")
}

// Used returns every IPv4 network the machine has an address in or a route to,
// except default routes.
func Used(ctx context.Context) ([]netip.Prefix, error) {
	out, err := output(ctx, "ip", "-4", "-json", "route", "show", "table", "all")
	if err != nil {
		return nil, err
	}
	return parseRoutes(out)
}

func parseRoutes(out []byte) ([]netip.Prefix, error) {
	var routes []struct {
		Destination string `json:"dst"`
	}
	if err := json.Unmarshal(out, &routes); err != nil {
		return nil, fmt.Errorf("parsing routes: %w", err)
	}
	var used []netip.Prefix
	for _, route := range routes {
		if route.Destination == "default" || route.Destination == "0.0.0.0/0" {
			continue
		}
		prefix, err := netip.ParsePrefix(route.Destination)
		if err != nil {
			address, addrErr := netip.ParseAddr(route.Destination)
			if addrErr != nil {
				return nil, fmt.Errorf("parsing routes: %w", err)
			}
			prefix = netip.PrefixFrom(address, address.BitLen())
		}
		// The two halves of the Internet are how a VPN says "default".
		if prefix.Bits() > 1 {
			used = append(used, prefix)
		}
	}
	return used, nil
}

func offset(base netip.Addr, third, fourth byte) netip.Addr {
	b := base.As4()
	b[2], b[3] = b[2]+third, b[3]+fourth
	return netip.AddrFrom4(b)
}
