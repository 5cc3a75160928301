// SPDX-License-Identifier: Apache-2.0

package egress_test

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/internal/egress"
)

// hostile are addresses an owner might write to make the registry speak to something that is not a secret provider, or to fool one of two parsers.
var hostile = []string{
	"", " ", "https://", "https:///x", "https:vault.example.com", "//vault.example.com", "vault.example.com", "vault.example.com:8200", "/etc/passwd",
	"http://vault.example.com", "HTTP://vault.example.com", "ftp://vault.example.com", "file:///etc/passwd", "unix:///run/etcd.sock", "gopher://vault.example.com", "javascript:1",
	"https://user@vault.example.com", "https://user:password@vault.example.com", "https://@vault.example.com", "https://vault.example.com@169.254.169.254", "https://vault.example.com:80@10.0.0.1/",
	"https://vault.example.com?x=1", "https://vault.example.com/?", "https://vault.example.com#x", "https://vault.example.com/#", "https://169.254.169.254/#@vault.example.com",
	"https://vault.example.com\\@10.0.0.1", "https://vault.example.com%2f@10.0.0.1", "https://vault.example.com%00.evil.example", "https://vault.example.com/%2e%2e/", "https://vault.example.com/..", "https://vault.example.com/a/../b", "https://vault.example.com//a", "https://vault.example.com/a/./b",
	"https://vault.example.com\n", "https://vault.example.com\r\nHost: x", "https://vault.example.com\t", "https://vault .example.com", "https://vault\x00.example.com", "https://väult.example.com", "https://vault。example.com", "https://ⓥault.example.com",
	"https://vault..example.com", "https://.vault.example.com", "https://-vault.example.com", "https://vault-.example.com", "https://vault.example.com..", "https://*.example.com", "https://vault,example.com", "https://" + strings.Repeat("a", 64) + ".example.com", "https://" + strings.Repeat("a.", 130) + "com",
	"https://vault.example.com:", "https://vault.example.com:0", "https://vault.example.com:00443", "https://vault.example.com:65536", "https://vault.example.com:+443", "https://vault.example.com:-1", "https://vault.example.com:https", "https://vault.example.com:80:80",
	"https://127.0.0.1", "https://127.0.0.1:2379", "https://127.1", "https://127.0.1", "https://127.255.255.254", "https://2130706433", "https://0x7f000001", "https://0x7f.0.0.1", "https://0X7F.1", "https://0177.0.0.1", "https://017700000001", "https://127.0.0.01", "https://127.000.000.001", "https://127.0.0.1.", "https://0", "https://0.0.0.0", "https://0.1.2.3", "https://1", "https://10.0.0.256", "https://1.2.3.4.5", "https://example.com.1", "https://vault.0x", "https://vault.0x1",
	"https://169.254.169.254", "https://169.254.170.2", "https://169.254.0.1", "https://100.64.0.1", "https://100.100.100.200", "https://100.127.255.255", "https://192.0.0.192", "https://168.63.129.16", "https://224.0.0.1", "https://239.255.255.255", "https://240.0.0.1", "https://255.255.255.255", "https://198.18.0.1", "https://192.0.2.1", "https://198.51.100.1", "https://203.0.113.1", "https://192.88.99.1",
	"https://[::1]", "https://[::]", "https://[0:0:0:0:0:0:0:1]", "https://[::1]:2379", "https://[::ffff:127.0.0.1]", "https://[::ffff:7f00:1]", "https://[::ffff:169.254.169.254]", "https://[::ffff:10.0.0.1]", "https://[::127.0.0.1]", "https://[::7f00:1]", "https://[64:ff9b::7f00:1]", "https://[64:ff9b::169.254.169.254]", "https://[64:ff9b::100.64.0.1]", "https://[64:ff9b:1::1]", "https://[2002:7f00:1::]", "https://[2002:a9fe:a9fe::1]", "https://[2001:0:7f00:1::]", "https://[2001:db8::1]", "https://[100::1]",
	"https://[2607:f8b0::5efe:127.0.0.1]", "https://[2607:f8b0::200:5efe:169.254.169.254]", "https://[fe80::1]", "https://[fe80::1%25eth0]", "https://[fe80::1%eth0]", "https://[fec0::1]", "https://[ff02::1]", "https://[fd00:ec2::254]", "https://[fd20:ce::254]", "https://[fd00:42::42]", "https://[::1", "https://::1", "https://[127.0.0.1]", "https://[vault.example.com]", "https://[]", "https://[::1]x", "https://[2607:f8b0::1%eth0]",
}

func TestHostileAddressesAreRefused(t *testing.T) {
	if len(hostile) < 60 {
		t.Fatalf("only %d hostile addresses", len(hostile))
	}
	var guard egress.Guard
	for _, raw := range hostile {
		u, err := guard.ParseAddress(raw)
		if err == nil {
			t.Errorf("%q was accepted as %s", raw, u)
			continue
		}
		if !errors.Is(err, egress.ErrAddress) {
			t.Errorf("%q: error %v does not wrap ErrAddress", raw, err)
		}
		if strings.Contains(err.Error(), "password") {
			t.Errorf("%q: the error quotes the address: %v", raw, err)
		}
	}
}

func TestAddressesAreBroughtToOneForm(t *testing.T) {
	for raw, want := range map[string]string{
		"https://vault.example.com":               "https://vault.example.com",
		"HTTPS://Vault.EXAMPLE.com.:443/":         "https://vault.example.com",
		"https://vault.example.com:8200":          "https://vault.example.com:8200",
		"https://vault.vault.svc:8200/":           "https://vault.vault.svc:8200",
		"https://vault_1:8200":                    "https://vault_1:8200",
		"https://xn--vult-8qa.example.com":        "https://xn--vult-8qa.example.com",
		"https://10.96.0.17:8200":                 "https://10.96.0.17:8200",
		"https://192.168.1.1":                     "https://192.168.1.1",
		"https://[FD12:3456::0001]:8200":          "https://[fd12:3456::1]:8200",
		"https://[2607:F8B0:0:0::1]:443":          "https://[2607:f8b0::1]",
		"https://[64:ff9b::8.8.8.8]":              "https://[64:ff9b::808:808]",
		"https://gateway.example.com/vault/prod/": "https://gateway.example.com/vault/prod",
		"https://0x7f.example.com":                "https://0x7f.example.com",
	} {
		var guard egress.Guard
		u, err := guard.ParseAddress(raw)
		if err != nil {
			t.Errorf("%q was refused: %v", raw, err)
		} else if u.String() != want {
			t.Errorf("%q became %q, want %q", raw, u, want)
		}
	}
}

func TestTheOperatorOpensAndCloses(t *testing.T) {
	for name, tc := range map[string]struct {
		guard   egress.Guard
		raw     string
		allowed bool
	}{
		"http, if allowed":                              {egress.Guard{AllowHTTP: true}, "http://vault.vault.svc:8200", true},
		"allowing http does not allow ftp":              {egress.Guard{AllowHTTP: true}, "ftp://vault.vault.svc", false},
		"an allowed network":                            {egress.Guard{Allow: prefixes("127.0.0.0/8")}, "https://127.0.0.1:8200", true},
		"an allowed network says nothing of the next":   {egress.Guard{Allow: prefixes("127.0.0.0/8")}, "https://[::1]:8200", false},
		"an allowed network does not help mapped forms": {egress.Guard{Allow: prefixes("127.0.0.0/8")}, "https://[::ffff:127.0.0.1]", false},
		"an allowed host":                               {egress.Guard{AllowHosts: []string{"169.254.1.1"}}, "https://169.254.1.1", true},
		"an allowed host is compared as a whole":        {egress.Guard{AllowHosts: []string{"169.254.1.1"}}, "https://169.254.1.10", false},
		"an IPv6 host in brackets":                      {egress.Guard{AllowHosts: []string{"[fd00:ec2::1]"}}, "https://[fd00:ec2::1]", true},
		"a denied network":                              {egress.Guard{Deny: prefixes("10.96.0.0/12")}, "https://10.96.0.1", false},
		"a denied network through NAT64":                {egress.Guard{Deny: prefixes("10.96.0.0/12")}, "https://[64:ff9b::10.96.0.1]", false},
		"a denied network of translated addresses":      {egress.Guard{Deny: prefixes("64:ff9b::/96")}, "https://[64:ff9b::8.8.8.8]", false},
		"denied wins over allowed":                      {egress.Guard{Allow: prefixes("10.0.0.0/8"), Deny: prefixes("10.96.0.0/12")}, "https://10.96.0.1", false},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := tc.guard.ParseAddress(tc.raw); (err == nil) != tc.allowed {
				t.Errorf("error = %v, want allowed %v", err, tc.allowed)
			}
		})
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, raw := range hostile {
		f.Add(raw)
	}
	f.Add("https://Vault.example.com.:443/a/")
	f.Fuzz(func(t *testing.T, raw string) {
		var guard egress.Guard
		u, err := guard.ParseAddress(raw)
		if err != nil {
			return
		}
		again, err := guard.ParseAddress(u.String())
		if err != nil || again.String() != u.String() {
			t.Fatalf("%q gave %q, which gave %v, %v", raw, u, again, err)
		}
		// What another reader of the canonical form connects to must be what was checked.
		other, err := url.Parse(u.String())
		if err != nil || other.Hostname() != u.Hostname() || other.User != nil || other.RawQuery != "" || other.Fragment != "" || other.Scheme != "https" {
			t.Fatalf("%q gave %q, which is read differently: %v", raw, u, err)
		}
		if addr, err := netip.ParseAddr(u.Hostname()); err == nil && guard.Check(addr) != nil {
			t.Fatalf("%q leads to denied %s", raw, addr)
		}
	})
}

func prefixes(s ...string) (out []netip.Prefix) {
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}
