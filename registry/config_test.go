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

func TestTheConfigurationIsChecked(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string // part of the error; none if empty
	}{
		"the defaults":                      {nil, ""},
		"an etcd of yours":                  {[]string{"--data-dir=", "--etcd-endpoints=https://a:2379, https://b:2379", "--etcd-ca-file=ca.crt"}, ""},
		"half of a certificate":             {[]string{"--etcd-cert-file=tls.crt"}, "-etcd-cert-file and -etcd-key-file go together"},
		"an etcd that nothing verifies":     {[]string{"--data-dir=", "--etcd-endpoints=http://127.0.0.1:2379,https://b:2379"}, "https://b:2379 needs -etcd-ca-file"},
		"no key ring":                       {[]string{"--key-dir="}, "-key-dir is required"},
		"broken glass without a token":      {[]string{"--accept-ended-bootstrap-token"}, "needs -bootstrap-token-file"},
		"fewer versions than none":          {[]string{"--kept-versions=-1"}, "-kept-versions"},
		"one audience for pods and people":  {[]string{"--api-audience=lanyard"}, "-api-audience must not be -audience"},
		"no name for the cluster":           {[]string{"--cluster-name="}, "-audience and -cluster-name are required"},
		"an injector with two slashes":      {[]string{"--injector-service-account=a/b/c"}, "is not <namespace>/<name>"},
		"an injector without a namespace":   {[]string{"--injector-service-account=/b"}, "is not <namespace>/<name>"},
		"two problems, the last of the two": {[]string{"--key-dir=", "--kept-versions=-1"}, "-kept-versions"},
	} {
		_, err := parse(t, tc.args...)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	c, err := parse(t, "--injector-service-account=nonsense", "--audience=")
	if c.NoCluster = true; err == nil || c.Validate() != nil {
		t.Errorf("with a cluster %v, without one %v", err, c.Validate())
	}
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
