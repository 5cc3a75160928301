// SPDX-License-Identifier: Apache-2.0

// Package embedded runs an etcd inside the registry process, for installations of one replica and for development.
//
// It is a real etcd on a real data directory, of one member and without any listener: its only client is in this process. The directory can later be served
// by an etcd of its own, or restored from a snapshot of one, with the usual tools.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

// Defaults.
const (
	// DefaultQuota is the size of the data base at which etcd refuses to write: 100,000 secrets take about a tenth of it.
	DefaultQuota = 2 << 30
	// retention is how much history etcd keeps; deleted and destroyed values are gone from it after this time and the next compaction.
	retention = "1h"
)

// Options change what a server does.
type Options struct {
	Quota int64        // in bytes; 0 means DefaultQuota
	Log   *slog.Logger // gets etcd's warnings and errors; nil discards them
	// UnsafeNoSync leaves out fsync: what was acknowledged may be lost when the machine stops. For tests only.
	UnsafeNoSync bool
}

// Server is a running etcd.
type Server struct {
	etcd   *embed.Etcd
	client *clientv3.Client
}

// Start runs an etcd on the data directory dir, which is created if there is none, and returns when it serves or ctx ends. No second server may use dir
// meanwhile; starting one blocks until ctx ends.
func Start(ctx context.Context, dir string, o Options) (*Server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("creating etcd data directory: %w", err)
	}
	config := embed.NewConfig()
	config.Name = "lanyard"
	config.Dir = dir
	// No listeners. The peer URL only names the member; nothing dials it.
	self := url.URL{Scheme: "http", Host: "localhost:2380"}
	config.ListenPeerUrls, config.ListenClientUrls = nil, nil
	config.AdvertisePeerUrls = []url.URL{self}
	config.AdvertiseClientUrls = []url.URL{{Scheme: "http", Host: "localhost:2379"}}
	config.InitialCluster = config.Name + "=" + self.String()
	// The only member elects itself after up to one election timeout. Nobody can be late to disagree, so it may be short.
	config.TickMs, config.ElectionMs = 50, 250
	config.QuotaBackendBytes = o.Quota
	if o.Quota == 0 {
		config.QuotaBackendBytes = DefaultQuota
	}
	config.AutoCompactionMode, config.AutoCompactionRetention = embed.CompactorModePeriodic, retention
	config.UnsafeNoFsync = o.UnsafeNoSync
	config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(newLogger(o.Log))

	started := make(chan result, 1)
	go func() { // opening a data directory in use blocks for ever
		e, err := embed.StartEtcd(config)
		started <- result{e, err}
	}()
	select {
	case r := <-started:
		if r.err != nil {
			return nil, fmt.Errorf("starting etcd: %w", r.err)
		}
		return ready(ctx, r.etcd)
	case <-ctx.Done():
		go func() { // should it get the directory after all, it gives it back
			if r := <-started; r.err == nil {
				r.etcd.Close()
			}
		}()
		return nil, fmt.Errorf("starting etcd on %q: %w", dir, context.Cause(ctx))
	}
}

type result struct {
	etcd *embed.Etcd
	err  error
}

func ready(ctx context.Context, e *embed.Etcd) (*Server, error) {
	select {
	case <-e.Server.ReadyNotify():
		return &Server{e, v3client.New(e.Server)}, nil
	case <-e.Server.StopNotify():
		e.Close()
		return nil, errors.New("starting etcd: it stopped")
	case <-ctx.Done():
		e.Close()
		return nil, fmt.Errorf("starting etcd: %w", context.Cause(ctx))
	}
}

// Client returns the client of the server. [Server.Close] closes it.
func (s *Server) Client() *clientv3.Client { return s.client }

// Done is closed when the server has stopped, by itself or by Close.
func (s *Server) Done() <-chan struct{} { return s.etcd.Server.StopNotify() }

// Close stops the server and returns when everything is on disk and the directory free.
func (s *Server) Close() error {
	err := s.client.Close()
	s.etcd.Close()
	if errors.Is(err, context.Canceled) { // what closing a client without a connection says
		err = nil
	}
	return err
}
