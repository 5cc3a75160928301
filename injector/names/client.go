// SPDX-License-Identifier: Apache-2.0

// Package names follows the names of consumers, and of secrets that pods may refer to, in the secret registry, so that admission can decide without asking anybody.
//
// A [Client] holds one stream open (see package wire, Names). Each stream begins with everything that exists; it is gathered into a new [View], which takes
// the place of the last one when it is complete. What was deleted while no stream was open is therefore not missed. While the registry is away the last
// complete view keeps answering: names change rarely, and what they say is checked again when a pod resolves.
package names

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// Config of a [Client].
type Config struct {
	URL        string // https URL of the registry's workload listener; required
	ServerName string // name its certificate is checked against; empty means the URL's host
	CAFile     string // PEM its certificate is checked against, read at every connection; required
	TokenFile  string // the injector's own service account token, read at every connection; required
	Log        *slog.Logger

	// MinBackoff and MaxBackoff bound the pauses between connections; zero means 500 ms and 30 s. A pause is random below a bound that doubles.
	MinBackoff, MaxBackoff time.Duration
	// Silence is how long the stream may say nothing before it is given up; zero means three times wire.NamesPingInterval.
	Silence time.Duration
}

// Client follows the names stream. Create it with [New] and run it with [Client.Run]; its other methods may be called at any time from any goroutine.
type Client struct {
	cfg   Config
	open  opener
	view  atomic.Pointer[View]
	state state
}

// New returns a Client that has no view yet.
func New(cfg Config) *Client {
	cfg.MinBackoff = cmp.Or(cfg.MinBackoff, 500*time.Millisecond)
	cfg.MaxBackoff = cmp.Or(cfg.MaxBackoff, 30*time.Second)
	cfg.Silence = cmp.Or(cfg.Silence, 3*wire.NamesPingInterval)
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	return &Client{cfg: cfg, open: httpOpener(cfg)}
}

// View returns the last complete view, or nil if there has been none. It does not block.
func (c *Client) View() *View { return c.view.Load() }

// Run follows the stream until ctx is done, which is the only way it ends.
func (c *Client) Run(ctx context.Context) {
	backoff := c.cfg.MinBackoff
	for ctx.Err() == nil {
		synced, err := c.follow(ctx)
		c.state.disconnected()
		if ctx.Err() != nil {
			return
		}
		if synced {
			backoff = c.cfg.MinBackoff // the registry was fine until a moment ago
		}
		pause := c.cfg.MinBackoff/2 + rand.N(backoff)
		c.cfg.Log.Warn("names stream ended", "err", err, "synced", synced, "pause_ms", pause.Milliseconds())
		backoff = min(2*backoff, c.cfg.MaxBackoff)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

var (
	errSilent    = errors.New("the registry has been silent for too long")
	errEnded     = errors.New("the registry closed the stream")
	errMalformed = errors.New("malformed names event")
)

// follow reads one stream to its end and reports whether it was ever complete.
func (c *Client) follow(ctx context.Context) (synced bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// The watchdog covers connecting, the headers and every line.
	watchdog := time.AfterFunc(c.cfg.Silence, func() { cancel(errSilent) })
	defer watchdog.Stop()

	stream, err := c.open(ctx)
	if err != nil {
		return false, errors.Join(err, context.Cause(ctx))
	}
	defer stream.Close()
	view := new(View)
	for {
		event, err := stream.Next()
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return synced, err
		}
		watchdog.Reset(c.cfg.Silence)
		c.state.heard(time.Now())
		switch event.Type {
		case wire.NamesPut:
			if event.Consumer == nil || event.Consumer.Ref == "" {
				return synced, fmt.Errorf("%w: put without a consumer", errMalformed)
			}
			view.put(event.Consumer)
		case wire.NamesDelete:
			if event.Consumer == nil || event.Consumer.Ref == "" {
				return synced, fmt.Errorf("%w: delete without a consumer", errMalformed)
			}
			view.delete(event.Consumer.Ref)
		case wire.NamesPutSecret:
			if event.Secret == nil || event.Secret.Ref == "" {
				return synced, fmt.Errorf("%w: put of no secret", errMalformed)
			}
			view.secrets.Store(event.Secret.Ref, event.Secret)
		case wire.NamesDeleteSecret:
			if event.Secret == nil || event.Secret.Ref == "" {
				return synced, fmt.Errorf("%w: delete of no secret", errMalformed)
			}
			view.secrets.Delete(event.Secret.Ref)
		case wire.NamesSynced:
			if !synced {
				synced = true
				c.view.Store(view)
				c.cfg.Log.Info("names synced", "consumers", view.count)
			}
			c.state.synced()
		case wire.NamesPing:
		default: // of a newer registry
		}
		if synced {
			c.state.count(view.count)
		}
	}
}
