// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"flag"
	"io"
	"strings"
	"testing"
)

// parse returns a configuration that is valid but for what args say.
func parse(t *testing.T, args ...string) (Config, error) {
	t.Helper()
	var c Config
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	c.Flags(flags)
	if err := flags.Parse(append([]string{"--data-dir=/data"}, args...)); err != nil {
		t.Fatal(err)
	}
	return c, c.Validate()
}

func TestTheOperatorsPolicyForProvidersIsChecked(t *testing.T) {
	const file = "--provider-token-file=/token"
	for name, tc := range map[string]struct {
		args []string
		want string // part of the error; none if empty
	}{
		"nothing":                           {nil, ""},
		"networks":                          {[]string{"--provider-allow-cidr=127.0.0.0/8", "--provider-allow-cidr=fd00::/8"}, ""},
		"a network that is none":            {[]string{"--provider-allow-cidr=127.0.0.1"}, "-provider-allow-cidr"},
		"a trusted address":                 {[]string{"--provider-trusted-address=https://vault.example:8200", file}, ""},
		"a trusted address over http":       {[]string{"--provider-trusted-address=http://vault.example", file}, "-provider-trusted-address: number 1: "},
		"the same, allowed":                 {[]string{"--provider-trusted-address=http://vault.example", file, "--provider-allow-http"}, ""},
		"a trusted address on loopback":     {[]string{"--provider-trusted-address=https://127.0.0.1", file}, "loopback"},
		"the same, in an allowed network":   {[]string{"--provider-trusted-address=https://127.0.0.1", file, "--provider-allow-cidr=127.0.0.0/8"}, ""},
		"a trusted address without token":   {[]string{"--provider-trusted-address=https://vault.example"}, "-provider-token-file"},
		"an audience of pods instead":       {[]string{"--provider-trusted-address=https://vault.example", "--provider-pod-audience=vault"}, ""},
		"the pods' own audience":            {[]string{"--provider-pod-audience=lanyard"}, "-provider-pod-audience"},
		"the API server's audience":         {[]string{"--provider-pod-audience=https://kubernetes.default.svc.cluster.local"}, "API server"},
		"a token that pods' servers accept": {[]string{"--provider-trusted-address=https://vault.example", file, "--provider-token-audience=lanyard"}, "-provider-token-audience"},
	} {
		_, err := parse(t, tc.args...)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func TestATrustedAddressMeansEverySpellingOfIt(t *testing.T) {
	c, err := parse(t, "--provider-trusted-address=https://Vault.Example.:443/", "--provider-token-file=/token")
	if err != nil {
		t.Fatal(err)
	}
	host, err := c.Providers.host()
	if err != nil || len(host.TrustedAddresses) != 1 || host.TrustedAddresses[0] != "https://vault.example" {
		t.Errorf("got %v, %v", host.TrustedAddresses, err)
	}
	if host.ServiceAccountToken == nil {
		t.Error("there is no token to show")
	}
	none, err := parse(t)
	if err != nil {
		t.Fatal(err)
	}
	if host, _ := none.Providers.host(); host.ServiceAccountToken != nil {
		t.Error("there is a token to show although nobody asked for one")
	}
}
