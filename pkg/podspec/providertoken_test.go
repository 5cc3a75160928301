// SPDX-License-Identifier: Apache-2.0

package podspec_test

import (
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
)

func TestAudiencesOfProviders(t *testing.T) {
	for audience, ok := range map[string]bool{
		"vault": true, "https://vault.example.com:8200": true, "a": true, "a" + strings.Repeat("/", 79): true,
		"": false, "-vault": false, "a b": false, "a%2Fb": false, "va\u00fclt": false, "a\n": false, strings.Repeat("a", 81): false,
		"https://kubernetes.default.svc.cluster.local": false, "https://kubernetes.default.svc": false, "api": false,
	} {
		err := podspec.CheckProviderAudience(audience)
		if (err == nil) != ok {
			t.Errorf("%q: %v", audience, err)
		}
		if path := podspec.ProviderTokenPath(audience); ok && (len(path) > 255 || strings.Contains(path, "/") || path == podspec.TokenPath) {
			t.Errorf("%q: the path is %q", audience, path)
		}
	}
}
