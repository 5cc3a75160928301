// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/lanyard-dev/lanyard/internal/events"
	"github.com/lanyard-dev/lanyard/internal/httpserver"
	"github.com/lanyard-dev/lanyard/internal/version"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/envelope/keydir"
	"github.com/lanyard-dev/lanyard/registry/remote"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/workload"
)

const (
	// grace is how long requests that are being answered may take after the listeners have closed. With the drain delay it stays under the 30 s that
	// Kubernetes gives a pod.
	grace = 15 * time.Second
	// retryEvery is the pause between attempts to reach what the registry cannot start without.
	retryEvery = 2 * time.Second
)

// Run serves until ctx ends, then drains: it reports itself not ready, goes on answering for the drain delay, finishes what it is answering, and closes the
// store last. It returns nil after that.
//
// What is missing at the start is waited for, not fatal: without a usable key ring, etcd or certificate the process lives, is not ready and says why.
func Run(ctx context.Context, config Config) error {
	if err := config.Validate(); err != nil {
		return err
	}
	r := &server{config: config, log: slog.New(slog.NewJSONHandler(cmp.Or[io.Writer](config.LogOut, io.Discard), &slog.HandlerOptions{Level: config.LogLevel}))}
	r.metrics = prometheus.NewRegistry()
	r.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.setStatus(errors.New("starting"))
	r.health.Ready, r.health.Notes = r.ready, r.notes

	health, err := httpserver.Listen(ctx, httpserver.Config{Name: "metrics", Address: config.MetricsAddress, Handler: r.health.Handler(r.metrics), Log: r.log})
	if err != nil {
		return err
	}
	// Health outlives everything: it answers while the rest starts, drains and closes.
	healthCtx, stopHealth := context.WithCancel(context.WithoutCancel(ctx))
	healthDone := make(chan error, 1)
	go func() { healthDone <- health.Run(healthCtx, time.Second) }()

	r.log.InfoContext(ctx, "starting", "version", version.String(), "metrics", health.Addr().String())
	err = r.run(ctx, health.Addr().String())
	stopHealth()
	if err = errors.Join(err, <-healthDone); err == nil {
		r.log.InfoContext(context.WithoutCancel(ctx), "stopped")
	}
	return err
}

type server struct {
	config  Config
	log     *slog.Logger
	metrics *prometheus.Registry
	health  httpserver.Health
	status  atomic.Pointer[error] // why the server has not started yet; nil once it has
	store   *store.Store          // set before status is cleared
	audit   *audit.Log            // likewise
	// providers read the store, which checks what it is given with them.
	providers *remote.Providers
	sweeper   *workload.Sweeper // nil without a cluster
	events    *events.Poster    // nil without a cluster
	stopper   *workload.Stopper // the same; its audit log is set with the APIs
}

func (r *server) setStatus(err error) { r.status.Store(&err) }

func (r *server) ready() error {
	if err := *r.status.Load(); err != nil {
		return err
	}
	if err := r.store.Ready(); err != nil {
		return err
	}
	return r.audit.Err()
}

// notes is asked only when the server is ready, and so has started.
func (r *server) notes() []string { return []string{"bootstrap token: " + r.bootstrap().state()} }

// run opens what the registry works with, in the order of need, serves, and closes in reverse.
func (r *server) run(ctx context.Context, metricsAddress string) error {
	keys, err := await(ctx, r, "reading the key ring", func(context.Context) (*keydir.Keyring, error) { return keydir.Open(r.config.KeyDir) })
	if err != nil {
		return err
	}
	certificate, err := await(ctx, r, "reading the serving certificate", func(context.Context) (*httpserver.Certificate, error) {
		if r.config.TLSDir == "" {
			return nil, nil
		}
		return httpserver.LoadCertificate(r.config.TLSDir, r.config.TLSNames, r.log)
	})
	if err != nil {
		return err
	}
	etcd, err := await(ctx, r, "connecting to etcd", r.openEtcd)
	if err != nil {
		return err
	}
	defer func() {
		if err := etcd.close(); err != nil {
			r.log.Warn("etcd not closed cleanly", "err", err)
		}
	}()
	closeAudit, err := r.openAudit(ctx)
	if err != nil {
		return err
	}
	defer closeAudit()
	if r.providers, err = r.openProviders(); err != nil {
		return err
	}
	// Closed when nobody reads any more: tokens of logins are revoked at their servers.
	defer func() {
		if err := r.providers.Close(); err != nil {
			r.log.Warn("providers not closed cleanly", "err", err)
		}
	}()
	r.store, err = await(ctx, r, "opening the store", func(ctx context.Context) (*store.Store, error) {
		return store.Open(ctx, store.Config{Client: etcd.client, Prefix: r.config.EtcdPrefix, Keys: keys, Log: r.log, Providers: r.providers, Journal: r.audit.Journal,
			DeletedRetention: r.config.DeletedRetention, KeptVersions: r.config.KeptVersions})
	})
	if err != nil {
		return err
	}
	return r.serve(ctx, keys, certificate, metricsAddress)
}

// await tries open until it succeeds or ctx ends, and makes its error the server's status meanwhile.
func await[T any](ctx context.Context, r *server, what string, open func(context.Context) (T, error)) (T, error) {
	r.setStatus(errors.New(what))
	said := ""
	for {
		opened, err := open(ctx)
		if err == nil {
			return opened, nil
		}
		err = fmt.Errorf("%s: %w", what, err)
		if errors.Is(err, store.ErrSchema) { // written by a newer release, or not ours: waiting changes nothing
			return opened, err
		}
		r.setStatus(err)
		if err.Error() != said {
			said = err.Error()
			r.log.ErrorContext(ctx, "not started yet", "err", err)
		}
		select {
		case <-ctx.Done():
			return opened, err
		case <-time.After(retryEvery):
		}
	}
}

// serve runs both APIs and everything behind them until ctx ends.
func (r *server) serve(ctx context.Context, keys *keydir.Keyring, certificate *httpserver.Certificate, metricsAddress string) error {
	drain := make(chan struct{})
	apis, err := r.buildAPIs(keys, drain)
	if err != nil {
		return err
	}
	var listeners []*httpserver.Server
	for _, l := range []httpserver.Config{
		{Name: "administrators'", Address: r.config.APIAddress, Handler: apis.admin, TLS: tlsConfig(certificate, tls.VersionTLS12), Log: r.log},
		{Name: "workload", Address: r.config.WorkloadAddress, Handler: apis.workload, TLS: tlsConfig(certificate, tls.VersionTLS13), Log: r.log},
	} {
		listener, err := httpserver.Listen(ctx, l)
		if err != nil {
			for _, opened := range listeners {
				_ = opened.Close()
			}
			return err
		}
		listeners = append(listeners, listener)
	}

	// Work goes on until the last request was answered: the audit log and the store's watch are what answers wait for.
	workCtx, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	work, workCtx := errgroup.WithContext(workCtx)
	work.Go(func() error { return r.store.Run(workCtx) })
	work.Go(func() error { return r.audit.Run(workCtx) })
	if r.config.AcceptEndedBootstrap {
		work.Go(func() error { r.announceBreakGlass(workCtx); return nil })
	}
	work.Go(func() error { return keys.Watch(workCtx, nil) })
	work.Go(func() error { return r.providers.Run(workCtx) })
	if apis.people.provider != nil {
		work.Go(func() error { return apis.people.provider.Run(workCtx) })
	}
	work.Go(func() error { return apis.keeper.Run(workCtx) })
	if apis.events != nil {
		work.Go(func() error { apis.events.Run(workCtx); return nil })
	}
	if apis.sweeper != nil {
		work.Go(func() error { return apis.sweeper.Run(workCtx) })
	}
	if certificate != nil {
		work.Go(func() error { return certificate.Run(workCtx) })
	}

	serveCtx, stopServing := context.WithCancel(workCtx)
	defer stopServing()
	serving, serveCtx := errgroup.WithContext(serveCtx)
	for _, listener := range listeners {
		serving.Go(func() error { return listener.Run(serveCtx, grace) })
	}
	r.setStatus(nil)
	addresses := Addresses{API: listeners[0].Addr().String(), Workload: listeners[1].Addr().String(), Metrics: metricsAddress}
	r.log.InfoContext(ctx, "serving", "api", addresses.API, "workload", addresses.Workload, "metrics", addresses.Metrics)
	if r.config.Started != nil {
		r.config.Started(addresses)
	}

	select {
	case <-ctx.Done():
		r.log.InfoContext(serveCtx, "draining", "delay", r.config.DrainDelay.String())
		r.health.Drain()
		select {
		case <-time.After(r.config.DrainDelay):
		case <-serveCtx.Done():
		}
	case <-serveCtx.Done(): // something failed
	}
	close(drain)
	stopServing()
	err = errors.Join(serving.Wait(), apis.ledger.Close())
	stopWork()
	return errors.Join(err, work.Wait())
}

func tlsConfig(certificate *httpserver.Certificate, minimum uint16) *tls.Config {
	if certificate == nil {
		return nil
	}
	return &tls.Config{GetCertificate: certificate.GetCertificate, MinVersion: minimum, NextProtos: []string{"h2", "http/1.1"}}
}
