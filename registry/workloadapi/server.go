// SPDX-License-Identifier: Apache-2.0

// Package workloadapi serves the workload listener: the resolve request of the init agent and the names stream of the injector, as package wire describes
// them. It is the only place where a plaintext value leaves the registry.
//
// Work grows with trust. A body over the limit is refused unread, a malformed one before anybody is asked who sent it; a bounded number of requests is
// authenticated at once; only an authenticated pod makes the store do something.
package workloadapi

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/authn"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Authenticator says who holds a token, as authn.Authenticator does. Its errors are [*authn.Error].
type Authenticator interface {
	Workload(ctx context.Context, token string) (authn.Principal, error)
	Injector(ctx context.Context, token string) (authn.Principal, error)
	CheckNode(ctx context.Context, p authn.Principal, deliveries []wire.Delivery) error
	// Owns reports whether a token for the audience of a provider is the pod's own.
	Owns(ctx context.Context, p authn.Principal, audience, token string) error
}

// Resolver finds the values, as resolve.Resolver does.
type Resolver interface {
	Resolve(ctx context.Context, call resolve.Call, req resolve.Request) (*wire.ResolveResponse, *resolve.Refusal)
}

// Events tells the pod's owners of a start that got no values. It does not block.
type Events interface {
	Refused(p authn.Principal, problem wire.Problem, refresh bool)
}

// Config is what the workload listener works with.
type Config struct {
	Authenticator Authenticator
	Resolver      Resolver
	Names         Names
	Denied        resolve.Denier // records refused tokens
	Events        Events         // hears of every refusal of a pod that is known; if nil, nobody does
	Cluster       string         // whose bindings the names stream tells
	// Audience returns the audience of the pods' own tokens that a provider is read with, empty if none. Nil means that none is.
	Audience func(store.Provider) string
	// Drain, when closed, ends the names streams, which http.Server.Shutdown would wait for. Nil never does.
	Drain      <-chan struct{}
	Logger     *slog.Logger          // nil discards
	Registerer prometheus.Registerer // nil exports no metrics

	// Concurrency is how many resolve requests are worked on at once; 256 if 0. At 64 KiB for each of ten values that is 160 MiB at the very worst.
	Concurrency int
	QueueWait   time.Duration // how long a request waits for its turn before it is refused as overloaded; 1 s if 0
	Timeout     time.Duration // of one resolve, all of it; 10 s if 0
	// Budget is how many times one pod may receive values within an hour, on this replica; 60 if 0: five times what the kubelet's back-off of a failing init
	// container reaches. A negative one is no bound.
	Budget  int
	Streams int // how many injectors may follow names at once; 64 if 0
}

type server struct {
	config  Config
	slots   chan struct{}
	streams chan struct{}
	budget  *budget
	metrics metrics
}

// New returns the handler of the workload listener. The http.Server around it sets the timeouts of connections; the names stream lifts them for itself.
func New(config Config) (http.Handler, error) {
	if config.Authenticator == nil || config.Resolver == nil || config.Names == nil || config.Denied == nil {
		return nil, errors.New("creating workload API: Authenticator, Resolver, Names and Denied are required")
	}
	config.Concurrency = cmp.Or(config.Concurrency, 256)
	config.QueueWait = cmp.Or(config.QueueWait, time.Second)
	config.Timeout = cmp.Or(config.Timeout, 10*time.Second)
	config.Budget = cmp.Or(config.Budget, 60)
	config.Streams = cmp.Or(config.Streams, 64)
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	s := &server{
		config:  config,
		slots:   make(chan struct{}, config.Concurrency),
		streams: make(chan struct{}, config.Streams),
		budget:  newBudget(config.Budget),
		metrics: newMetrics(config.Registerer),
	}

	gin.SetMode(gin.ReleaseMode) // else Gin prints routes and warnings to stdout, where the audit log goes
	engine := gin.New()
	engine.RedirectTrailingSlash = false
	engine.HandleMethodNotAllowed = true
	if err := engine.SetTrustedProxies(nil); err != nil {
		return nil, err
	}
	engine.POST(wire.ResolvePath, s.handle("resolve", s.resolve))
	engine.GET(wire.NamesPath, s.handle("names", s.names))
	engine.NoRoute(s.handle("unknown", func(e *exchange) { e.refuseAs(http.StatusNotFound, "there is no such path") }))
	engine.NoMethod(s.handle("unknown", func(e *exchange) { e.refuseAs(http.StatusMethodNotAllowed, "the path does not allow this method") }))
	return engine, nil
}

// enter waits for a turn. It returns false when there is none in time.
func (s *server) enter(ctx context.Context) bool {
	select {
	case s.slots <- struct{}{}:
		return true
	default:
	}
	wait := time.NewTimer(s.config.QueueWait)
	defer wait.Stop()
	select {
	case s.slots <- struct{}{}:
		return true
	case <-wait.C:
	case <-ctx.Done():
	}
	return false
}

func (s *server) leave() { <-s.slots }
