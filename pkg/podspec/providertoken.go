// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// maxProviderAudience keeps [ProviderTokenPath] within the 255 bytes of a file's name, should each character be escaped.
const maxProviderAudience = 80

// CheckProviderAudience reports why pods can have no token of this audience for a provider. The audience of an API server is refused by its usual names, because whoever gets such
// a token can do to the cluster what the pod may; what else is good for more than a provider, the operator has to know.
func CheckProviderAudience(audience string) error {
	switch {
	case !isProviderAudience(audience):
		return fmt.Errorf("is no audience of at most %d letters, digits and, not in front, '.', '_', ':', '/' and '-'", maxProviderAudience)
	case strings.HasPrefix(audience, "https://kubernetes.default"), audience == "api":
		return errors.New("is that of an API server: the provider could act as the pod there")
	}
	return nil
}

func isProviderAudience(audience string) bool {
	for i := range len(audience) {
		switch c := audience[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && strings.IndexByte("._:/-", c) >= 0:
		default:
			return false
		}
	}
	return audience != "" && len(audience) <= maxProviderAudience
}

// ProviderTokenPath is the path, within [MountToken], of the pod's token for the providers of an audience that [CheckProviderAudience] accepts. No two audiences share one.
func ProviderTokenPath(audience string) string { return "provider-" + url.PathEscape(audience) }
