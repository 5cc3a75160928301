// SPDX-License-Identifier: Apache-2.0

package injector

import (
	"io"
	"slices"
	"strings"
	"testing"
)

func TestPodsMayHaveTokensOnlyForAudiencesTheOperatorNames(t *testing.T) {
	long := strings.Repeat("a", 300)
	for name, c := range map[string]struct {
		args   []string
		want   []string
		refuse string // part of the error; none if empty
	}{
		"none":                                {nil, nil, ""},
		"one":                                 {[]string{"--provider-pod-audience=vault"}, []string{"vault"}, ""},
		"several":                             {[]string{"--provider-pod-audience=vault", "--provider-pod-audience", "https://vault.example"}, []string{"vault", "https://vault.example"}, ""},
		"a list in one":                       {[]string{"--provider-pod-audience=vault,other"}, nil, `"vault,other" is no audience`},
		"that of the registry":                {[]string{"--provider-pod-audience=lanyard"}, nil, `"lanyard" is that of the registry`},
		"that of a registry with another":     {[]string{"--audience=secrets", "--provider-pod-audience=vault", "--provider-pod-audience=secrets"}, nil, `"secrets" is that of the registry`},
		"the usual one of another's registry": {[]string{"--audience=secrets", "--provider-pod-audience=lanyard"}, []string{"lanyard"}, ""},
		"nothing":                             {[]string{"--provider-pod-audience="}, nil, `audience of providers ""`},
		"one too long":                        {[]string{"--provider-pod-audience=" + long}, nil, "audience of providers"},
		"the API server's":                    {[]string{"--provider-pod-audience=https://kubernetes.default.svc.cluster.local"}, nil, "API server"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := ParseFlags(append([]string{"--namespace=lanyard", "--registry-url=https://registry", "--registry-ca-file=ca.crt", "--agent-image=agent"}, c.args...), io.Discard)
			if c.refuse != "" {
				if err == nil || !strings.Contains(err.Error(), c.refuse) {
					t.Errorf("error = %v, want %q", err, c.refuse)
				}
				return
			}
			if err != nil || !slices.Equal(cfg.Agent.ProviderAudiences, c.want) {
				t.Errorf("%q, %v", cfg.Agent.ProviderAudiences, err)
			}
		})
	}
}
