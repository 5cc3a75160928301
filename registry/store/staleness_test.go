// SPDX-License-Identifier: Apache-2.0

package store

import (
	"testing"
	"time"
)

func TestAnInlineReferenceIsStaleWhenThePodWouldReceiveSomethingElse(t *testing.T) {
	pod := Binding{"main", "shop", "web"}
	local := Secret{Storage: StorageLocal, ActiveVersion: 3, Grants: []Binding{pod}}
	deleted, ungranted, remote, none := local, local, local, local
	deleted.DeletedAt, ungranted.Grants, remote.Storage, none.ActiveVersion = new(time.Time), []Binding{{"edge", "shop", "web"}}, StorageRemote, 0
	for name, tc := range map[string]struct {
		secret *Secret
		has    WorkloadEnv
		want   Staleness
	}{
		"the active version":                 {&local, WorkloadEnv{Version: 3}, Current},
		"an older one":                       {&local, WorkloadEnv{Version: 2}, StaleVersion},
		"an older one that it refers to":     {&local, WorkloadEnv{Version: 2, Pinned: true}, Current},
		"the secret is gone":                 {nil, WorkloadEnv{Version: 3}, StaleDeleted},
		"it is deleted":                      {&deleted, WorkloadEnv{Version: 3}, StaleDeleted},
		"no version is active":               {&none, WorkloadEnv{Version: 3}, StaleDeleted},
		"the grant is gone":                  {&ungranted, WorkloadEnv{Version: 3}, StaleReference},
		"it was local":                       {&remote, WorkloadEnv{Version: 3}, StaleStorage},
		"of a provider, nothing is known":    {&remote, WorkloadEnv{}, Current},
		"the version it refers to was local": {&remote, WorkloadEnv{Version: 2, Pinned: true}, StaleStorage},
	} {
		t.Run(name, func(t *testing.T) {
			if got := inlineStaleness(tc.secret, pod, tc.has); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
