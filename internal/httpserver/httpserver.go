// SPDX-License-Identifier: Apache-2.0

// Package httpserver runs the listeners of Lanyard's servers: every timeout set, connections bounded, and an end that loses no request.
package httpserver

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// Config describes one listener. Zero values get the defaults beside them.
type Config struct {
	Name    string // for errors and logs, e.g. "workload"
	Address string // host:port; port 0 chooses one
	Handler http.Handler
	// TLS is used as it is; nil serves plain HTTP.
	TLS *tls.Config
	Log *slog.Logger // nil discards

	ReadHeaderTimeout time.Duration // 3 s: a header fits one packet
	ReadTimeout       time.Duration // 10 s
	WriteTimeout      time.Duration // 15 s; handlers that stream lift it for themselves
	IdleTimeout       time.Duration // 60 s
	MaxHeaderBytes    int           // 16 KiB: twice the largest token
	MaxConnections    int           // 4,096: what the default limit of open files of a container allows with room to spare
}

// Server is a bound listener. [Server.Run] serves it.
type Server struct {
	name     string
	http     *http.Server
	listener net.Listener
	log      *slog.Logger
}

// Listen binds the address, so that a port in use is reported before anything else starts.
func Listen(ctx context.Context, config Config) (*Server, error) {
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", config.Address)
	if err != nil {
		return nil, fmt.Errorf("listening for the %s API: %w", config.Name, err)
	}
	s := &Server{name: config.Name, listener: netutil.LimitListener(listener, cmp.Or(config.MaxConnections, 4096)), log: config.Log}
	s.http = &http.Server{
		Handler:           config.Handler,
		TLSConfig:         config.TLS,
		ReadHeaderTimeout: cmp.Or(config.ReadHeaderTimeout, 3*time.Second),
		ReadTimeout:       cmp.Or(config.ReadTimeout, 10*time.Second),
		WriteTimeout:      cmp.Or(config.WriteTimeout, 15*time.Second),
		IdleTimeout:       cmp.Or(config.IdleTimeout, 60*time.Second),
		MaxHeaderBytes:    cmp.Or(config.MaxHeaderBytes, 16<<10),
		// Handshakes that fail are the network's normal noise: scanners, probes, clients that left.
		ErrorLog: log.New(noise{config.Log, config.Name}, "", 0),
	}
	return s, nil
}

// Addr is the address that was bound.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx ends, then stops accepting and waits up to grace for the requests that are being answered. It returns nil after an orderly end.
func (s *Server) Run(ctx context.Context, grace time.Duration) error {
	served := make(chan error, 1)
	go func() {
		if s.http.TLSConfig != nil {
			served <- s.http.ServeTLS(s.listener, "", "")
		} else {
			served <- s.http.Serve(s.listener)
		}
	}()
	select {
	case err := <-served:
		return fmt.Errorf("serving the %s API: %w", s.name, err)
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.WarnContext(ctx, "connections cut at the end of the grace period", "listener", s.name)
		err = s.http.Close()
	}
	if err != nil {
		return fmt.Errorf("shutting down the %s API: %w", s.name, err)
	}
	return nil
}

// Close gives the address back without having served.
func (s *Server) Close() error { return s.listener.Close() }

type noise struct {
	log  *slog.Logger
	name string
}

func (n noise) Write(line []byte) (int, error) {
	n.log.Debug("connection failed", "listener", n.name, "err", string(line))
	return len(line), nil
}
