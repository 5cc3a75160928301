// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"

	"github.com/lanyard-dev/lanyard/registry/authn"
	"github.com/lanyard-dev/lanyard/registry/lease"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// keeper returns what looks after leases. pods, if not nil, knows the pods of this cluster.
func (r *server) keeper(pods *authn.Authenticator) (*lease.Keeper, error) {
	config := lease.Config{Book: r.store, Providers: r.providers.Leases(), Cluster: r.config.ClusterName, Metrics: r.metrics, Log: r.log}
	if pods != nil {
		config.Pods = cluster{pods}
	}
	return lease.NewKeeper(config)
}

// cluster is a [lease.Pods].
type cluster struct{ authenticator *authn.Authenticator }

func (c cluster) Gone(ctx context.Context, p store.LeasePod) (bool, error) {
	return c.authenticator.PodGone(ctx, p.Namespace, p.Name, p.UID)
}

// fetch begins the fetches of a request; the leases among them are written down in the ledger for the pod that asked. A check has no pod.
func (r *server) fetch(ledger *lease.Ledger) func(resolve.Call) resolve.Fetcher {
	return func(call resolve.Call) resolve.Fetcher {
		p := call.Principal
		if p == (authn.Principal{}) {
			return r.providers.Begin(nil, true, nil)
		}
		tokens := make(provider.Tokens, len(call.ProviderTokens))
		for _, t := range call.ProviderTokens {
			tokens[t.Audience] = t.Token
		}
		return r.providers.Begin(ledger.Begin(
			store.Act{Actor: "serviceaccount:" + p.Namespace + "/" + p.ServiceAccount, RequestID: call.RequestID, SourceIP: call.SourceIP},
			store.LeasePod{Cluster: p.Cluster, Namespace: p.Namespace, Name: p.Pod, UID: p.PodUID, ServiceAccount: p.ServiceAccount, Node: p.Node},
		).For(call.Containers, call.Since), call.Fresh, tokens)
	}
}
