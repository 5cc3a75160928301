// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"testing"

	"github.com/lanyard-dev/lanyard/registry/store"
)

func TestWhatSupersedesALease(t *testing.T) {
	pod := store.LeasePod{Cluster: "main", Namespace: "billing", Name: "api", UID: "uid"}
	base := func(id string, created, since int64, containers ...string) store.Lease {
		return store.Lease{ID: id, OrgID: "org", ProviderID: "p1", Path: "database/creds/app", Pod: pod, Containers: containers, Created: created, Since: since}
	}
	for name, c := range map[string]struct {
		o, n   store.Lease
		change func(n *store.Lease)
		want   bool
	}{
		"the same containers again":              {base("o", 10, 5, "a", "b"), base("n", 20, 15, "b", "a"), nil, true},
		"up to the very revision":                {base("o", 15, 5, "a"), base("n", 20, 15, "a"), nil, true},
		"more containers":                        {base("o", 10, 5, "a"), base("n", 20, 15, "a", "b"), nil, true},
		"one that has not started anew":          {base("o", 10, 5, "a", "b"), base("n", 20, 15, "a"), nil, false},
		"another container":                      {base("o", 10, 5, "a"), base("n", 20, 15, "b"), nil, false},
		"a container whose name begins the same": {base("o", 10, 5, "app-1"), base("n", 20, 15, "app"), nil, false},
		"recorded while it was asked for":        {base("o", 16, 5, "a"), base("n", 20, 15, "a"), nil, false},
		"asked for without saying more":          {base("o", 10, 5, "a"), base("n", 20, 0, "a"), nil, false},
		"by a registry that noted no containers": {base("o", 10, 5), base("n", 20, 15, "a"), nil, false},
		"of a time that is not known":            {base("o", 0, 5, "a"), base("n", 20, 15, "a"), nil, false},
		"of records that were copied":            {base("o", 6, 900, "a"), base("n", 7, 950, "a"), nil, false},
		"itself":                                 {base("n", 20, 15, "a"), base("n", 20, 15, "a"), nil, false},
		"another path":                           {base("o", 10, 5, "a"), base("n", 20, 15, "a"), func(n *store.Lease) { n.Path = "database/creds/other" }, false},
		"another provider":                       {base("o", 10, 5, "a"), base("n", 20, 15, "a"), func(n *store.Lease) { n.ProviderID = "p2" }, false},
		"another organization":                   {base("o", 10, 5, "a"), base("n", 20, 15, "a"), func(n *store.Lease) { n.OrgID = "other" }, false},
		"another pod of the name":                {base("o", 10, 5, "a"), base("n", 20, 15, "a"), func(n *store.Lease) { n.Pod.UID = "another" }, false},
		"the uid in another cluster":             {base("o", 10, 5, "a"), base("n", 20, 15, "a"), func(n *store.Lease) { n.Pod.Cluster = "edge" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			if c.change != nil {
				c.change(&c.n)
			}
			if got := supersedes(c.n, c.o); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
