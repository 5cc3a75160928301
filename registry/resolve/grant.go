// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/authn"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// granted returns the secret behind each inline reference, container by container, if the principal may refer to all of them. Else the refusal names those it
// may not, and says the same of one that exists as of one that does not, was deleted, or whose record does not verify; the secrets returned with it are for
// the audit record alone, and zero where there is none.
func granted(view Finder, p authn.Principal, inline [][]ref.Secret) ([][]store.Secret, *Refusal) {
	secrets := make([][]store.Secret, len(inline))
	var refused []string
	var causes []error
	for i, refs := range inline {
		secrets[i] = make([]store.Secret, len(refs))
		for j, r := range refs {
			secret, err := view.FindSecretByName(r.Org, r.Name)
			switch {
			case err == nil:
				secrets[i][j] = secret
			case !errors.Is(err, store.ErrNotFound):
				causes = append(causes, fmt.Errorf("reading secret %s: %w", r.Path(), err))
			}
			if !grants(secrets[i][j], p) && !slices.Contains(refused, r.Path()) {
				refused = append(refused, r.Path())
			}
		}
	}
	if len(refused) == 0 {
		return secrets, nil
	}
	return secrets, refuse(wire.CodeNotGranted, fmt.Sprintf("service account %s of namespace %s, cluster %s, may not refer to %s: no such secret, or no grant",
		p.ServiceAccount, p.Namespace, p.Cluster, strings.Join(refused, ", ")), errors.Join(causes...))
}

// grants reports whether a grant of the secret is exactly the principal's cluster, namespace and service account. The zero secret grants nobody.
func grants(s store.Secret, p authn.Principal) bool {
	return slices.Contains(s.Grants, store.Binding{Cluster: p.Cluster, Namespace: p.Namespace, ServiceAccount: p.ServiceAccount})
}
