// SPDX-License-Identifier: Apache-2.0

package provider

import "strings"

// AllowedName is [Allowed] for servers whose secrets have names without slashes: each character of separators ends a segment. With "-", the prefix "prod" allows "prod" and
// "prod-db" but not "production". A prefix may end with a separator, which means the same.
func AllowedName(name, separators string, prefixes []string) bool {
	if len(prefixes) == 0 {
		return true
	}
	for _, prefix := range prefixes {
		prefix = strings.TrimRight(prefix, separators)
		if rest, ok := strings.CutPrefix(name, prefix); ok && prefix != "" && (rest == "" || strings.IndexByte(separators, rest[0]) >= 0) {
			return true
		}
	}
	return false
}
