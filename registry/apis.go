// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"

	"k8s.io/client-go/rest"

	"github.com/lanyard-dev/lanyard/internal/events"
	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn"
	"github.com/lanyard-dev/lanyard/registry/authn/apitoken"
	"github.com/lanyard-dev/lanyard/registry/authn/bootstrap"
	"github.com/lanyard-dev/lanyard/registry/authn/federated"
	"github.com/lanyard-dev/lanyard/registry/envelope/keydir"
	"github.com/lanyard-dev/lanyard/registry/lease"
	"github.com/lanyard-dev/lanyard/registry/remote"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/workload"
	"github.com/lanyard-dev/lanyard/registry/workloadapi"
)

// apis are the handlers of the two listeners that serve users' data, and what works behind them.
type apis struct {
	admin, workload http.Handler
	people          people
	ledger          *lease.Ledger
	keeper          *lease.Keeper
	sweeper         *workload.Sweeper // nil without a cluster
	events          *events.Poster    // nil without a cluster
}

// buildAPIs connects the handlers to the store and the key ring. drain, when closed, ends the streams of the workload API.
func (r *server) buildAPIs(keys *keydir.Keyring, drain <-chan struct{}) (*apis, error) {
	if err := r.metrics.Register(secretStates{r.store}); err != nil {
		return nil, fmt.Errorf("registering metrics of secrets: %w", err)
	}
	if err := r.metrics.Register(deletions{r.store}); err != nil {
		return nil, fmt.Errorf("registering metrics of deletions: %w", err)
	}
	if err := r.metrics.Register(r.bootstrap()); err != nil {
		return nil, fmt.Errorf("registering metrics of the bootstrap token: %w", err)
	}
	denied := audit.NewDenials(r.audit.Record, r.log)
	ledger := lease.NewLedger(r.store, r.log)
	resolver, err := resolve.New(resolve.Config{
		View:   func(ctx context.Context) (resolve.View, error) { return r.store.View(ctx) },
		Audit:  r.audit,
		Denied: denied,
		Fetch:  r.fetch(ledger),
		Known:  func() int64 { return r.store.Known() },
		// Every replica has the same key ring, and after a rotation of its primary each pod is answered in full once.
		MarkKey: func() [32]byte { return keys.Derive("resolve mark") },
	})
	if err != nil {
		return nil, err
	}
	explainer := &resolve.Explainer{Records: func(ctx context.Context) (resolve.Records, error) { return r.store.View(ctx) }, Reference: r.providers.Reference, Audience: r.providers.Audience}
	issuers, err := r.config.Federation.open()
	if err != nil {
		return nil, err
	}
	people, err := r.openPeople(keys, denied, issuers)
	if err != nil {
		return nil, err
	}
	authenticator, callers, err := r.authenticators(people)
	if err != nil {
		return nil, err
	}
	pods, _ := authenticator.(*authn.Authenticator) // else there is no cluster
	keeper, err := r.keeper(pods)
	if err != nil {
		return nil, err
	}
	var told workloadapi.Events // nil without a cluster
	if r.events != nil {
		told = workload.PodEvents{Poster: r.events}
	}
	workloads, err := workloadapi.New(workloadapi.Config{
		Events:        told,
		Authenticator: authenticator, Resolver: resolver, Names: workloadapi.StoreNames(r.store, r.config.ClusterName), Denied: denied, Cluster: r.config.ClusterName,
		Audience: r.providers.Audience, Drain: drain, Logger: r.log, Registerer: r.metrics,
	})
	if err != nil {
		return nil, err
	}
	var stopper api.Stopper // nil, not a nil *workload.Stopper, without a cluster
	if r.stopper != nil {
		r.stopper.Audit, stopper = r.audit, r.stopper
	}
	admin, err := api.New(api.Config{
		Stopper: stopper, Store: r.store, Cluster: r.config.ClusterName, Log: r.log, Registerer: r.metrics, Denials: denied,
		Authenticator: callers, Checker: checker{resolver, r.providers}, Explainer: explainer, SignIn: people.pages, Issuers: issuers, BreakGlass: r.config.AcceptEndedBootstrap,
	})
	if err != nil {
		return nil, err
	}
	return &apis{admin: admin, workload: workloads, people: people, ledger: ledger, keeper: keeper, sweeper: r.sweeper, events: r.events}, nil
}

// checker is an [api.Checker].
type checker struct {
	resolver  *resolve.Resolver
	providers *remote.Providers
}

func (c checker) CheckSecret(ctx context.Context, orgID, secretID string) (resolve.Outcome, error) {
	return c.resolver.Check(ctx, orgID, secretID)
}

func (c checker) CheckProvider(ctx context.Context, orgID, providerID string) resolve.Outcome {
	return c.providers.Check(ctx, orgID, providerID)
}

func (c checker) ProviderAudience(p store.Provider) string { return c.providers.Audience(p) }

func (c checker) ProviderHealth(p store.Provider) contract.ProviderHealth {
	return c.providers.Health(p)
}

// authenticators are those of the workload API and of the administrators' API.
func (r *server) authenticators(p people) (workloadapi.Authenticator, api.Authenticator, error) {
	callers := []api.Authenticator{&bootstrap.Authenticator{Path: r.config.BootstrapTokenFile}, &apitoken.Authenticator{Tokens: r.store}, &federated.Authenticator{Tokens: r.store}, p.sessions}
	if r.config.NoCluster {
		return authn.Off{}, api.FirstOf(callers...), nil
	}
	restConfig, err := rest.InClusterConfig()
	if err != nil {
		return nil, nil, fmt.Errorf("finding the API server, which reviews the tokens of pods: %w", err)
	}
	kubernetes, err := authn.Dial(restConfig)
	if err != nil {
		return nil, nil, err
	}
	cluster, err := workload.Dial(restConfig)
	if err != nil {
		return nil, nil, err
	}
	r.sweeper = &workload.Sweeper{Cluster: cluster, Name: r.config.ClusterName, Pods: kubernetes, Records: r.store, Log: r.log}
	r.stopper = &workload.Stopper{Cluster: cluster, Name: r.config.ClusterName, Pods: kubernetes, Log: r.log}
	host, _ := os.Hostname() // the pod's name; without one the Events do not tell replicas apart
	r.events = events.New(events.Config{
		API: cluster.Events(), Controller: "lanyard.dev/registry", Instance: host, About: workload.WithController(kubernetes), Log: r.log,
		Metric: "lanyard_registry_events_total", Registerer: r.metrics,
	})
	namespace, name, _ := strings.Cut(r.config.InjectorServiceAccount, "/")
	pods, err := authn.New(authn.Config{
		API: kubernetes, Cluster: r.config.ClusterName, Audience: r.config.Audience, InjectorNamespace: namespace, InjectorServiceAccount: name,
	})
	if err != nil {
		return nil, nil, err
	}
	if r.config.APIAudience != "" {
		accounts, err := authn.New(authn.Config{API: kubernetes, Cluster: r.config.ClusterName, Audience: r.config.APIAudience})
		if err != nil {
			return nil, nil, err
		}
		callers = append(callers, authn.Callers{Authenticator: accounts})
	}
	return pods, api.FirstOf(callers...), nil
}
