// SPDX-License-Identifier: Apache-2.0

package hostnet

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChoose(t *testing.T) {
	tests := map[string]struct {
		used     []string
		services string
		fail     bool
	}{
		"nothing is used":                     {services: "10.244.0.0/20"},
		"the first block is a pod network":    {used: []string{"10.244.0.0/24"}, services: "10.243.0.0/20"},
		"one address inside the first block":  {used: []string{"10.244.9.9/32"}, services: "10.243.0.0/20"},
		"a VPN takes all of 10/8":             {used: []string{"10.0.0.0/8"}, services: "172.31.0.0/20"},
		"private use is taken as a whole":     {used: []string{"10.0.0.0/8", "172.16.0.0/12"}, services: "198.18.0.0/20"},
		"only the range of carriers is left":  {used: []string{"10.0.0.0/8", "172.16.0.0/12", "198.18.0.0/15"}, services: "100.127.0.0/20"},
		"if no block is free, say so and end": {used: []string{"10.0.0.0/8", "172.16.0.0/12", "198.18.0.0/15", "100.64.0.0/10"}, fail: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var used []netip.Prefix
			for _, text := range test.used {
				used = append(used, netip.MustParsePrefix(text))
			}
			got, err := Choose(used)
			if (err != nil) != test.fail {
				t.Fatalf("got error %v, want failure %t", err, test.fail)
			}
			if err == nil && got.Services.String() != test.services {
				t.Errorf("got services %s, want %s", got.Services, test.services)
			}
		})
	}
}

func TestChosenRangesAreApart(t *testing.T) {
	r, err := Choose(nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Services.Overlaps(r.Pods) || r.Services.Contains(r.Node) || r.Pods.Contains(r.Node) {
		t.Errorf("ranges overlap: %+v", r)
	}
	if got := r.APIService().String() + " " + r.DNSService().String(); got != "10.244.0.1 10.244.0.10" {
		t.Errorf("got fixed services %s", got)
	}
}

func TestParseRoutes(t *testing.T) {
	const listing = `[
		{"dst":"default","gateway":"192.0.2.1","dev":"eth0"},
		{"dst":"0.0.0.0/1","dev":"tun0"}, {"dst":"128.0.0.0/1","dev":"tun0"},
		{"dst":"192.0.2.0/24","dev":"eth0"},
		{"type":"local","dst":"192.0.2.2","dev":"eth0","table":"local"}]`
	got, err := parseRoutes([]byte(listing))
	if err != nil {
		t.Fatal(err)
	}
	want := "[192.0.2.0/24 192.0.2.2/32]"
	if text := "[" + join(got) + "]"; text != want {
		t.Errorf("got %s, want %s", text, want)
	}
}

func join(prefixes []netip.Prefix) string {
	var texts []string
	for _, p := range prefixes {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, " ")
}

func TestRemovalTakesOnlyWhatIsOurs(t *testing.T) {
	const listing = `-P INPUT ACCEPT
-P FORWARD DROP
-N DOCKER
-N KUBE-FORWARD
-N LANYARD-E2E-FORWARD
-A INPUT -i lo -j ACCEPT
-A FORWARD -j LANYARD-E2E-FORWARD
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -j DOCKER
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A LANYARD-E2E-FORWARD -s 10.244.64.0/22 -j REJECT --reject-with icmp-port-unreachable
`
	want := [][]string{
		{"-D", "FORWARD", "-j", "LANYARD-E2E-FORWARD"},
		{"-D", "FORWARD", "-m", "comment", "--comment", "kubernetes forwarding rules", "-j", "KUBE-FORWARD"},
		{"-F", "KUBE-FORWARD"}, {"-F", "LANYARD-E2E-FORWARD"},
		{"-X", "KUBE-FORWARD"}, {"-X", "LANYARD-E2E-FORWARD"},
	}
	if diff := cmp.Diff(want, removal(listing)); diff != "" {
		t.Errorf("removal (-want +got):\n%s", diff)
	}
}
