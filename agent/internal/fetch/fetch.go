// SPDX-License-Identifier: Apache-2.0

// Package fetch asks the registry for a pod's values until it has all of them, is refused for good, or runs out of time.
//
// # One try
//
// Each try reads the token anew, because the kubelet rotates it, resolves the registry's name anew, opens a connection of its own and sends one POST. Nothing
// is shared between tries, so that a try never inherits a dead connection or the address of a replica that has gone.
//
// # Which answers end it
//
//	answer                                              | next
//	----------------------------------------------------+-------------------------------------------
//	200 with everything asked for                       | done
//	200 that says unchanged, to a request with a mark   | done
//	200 with less, more, or something else              | final: trying again would hide a defect
//	a problem whose code is retryable, and any 429      | try again
//	a problem whose code is final                       | final
//	401                                                 | one more try with the token re-read, then final
//	5xx without a problem (a proxy, a crash)            | try again
//	anything else without a problem (redirects too)     | final
//	no connection, no certificate, no complete answer   | try again
//	no usable token file                                | final
//
// A certificate that does not verify is tried again, as a rotation may be in progress; the log line of the try says that it was the certificate.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// Time limits of one try.
const (
	// ConnectTimeout covers name resolution, TCP and TLS. A healthy registry is connected in milliseconds; two seconds allow for one lost SYN (sent again
	// after one second) or one lost DNS packet, and no more, as the next try may reach another replica.
	ConnectTimeout = 2 * time.Second
	// TryTimeout covers all of it. The registry gives a provider five seconds; twice that leaves room for its own work and for the largest answer at
	// 5 MB/s, and still ends a connection that trickles.
	TryTimeout = 10 * time.Second
)

// A Client resolves the values of one pod. Its fields must not change once it is in use.
type Client struct {
	// URL is the https URL of the registry's workload listener, without a path.
	URL string
	// Transport carries the requests; [NewTransport] makes the one for production. It must not follow redirects.
	Transport http.RoundTripper
	// TokenFile is the path of the pod's token. Those for providers are beside it.
	TokenFile string
	// Logger receives one line per try. It must not be nil.
	Logger *slog.Logger
}

// Resolve sends req until it is answered for good or ctx ends. The caller owns the answer, which holds secret values, and wipes it.
//
// The error is a [*Refusal] when the registry said no, wraps [ErrProtocol] when its answer cannot be used and [ErrToken] when there is no token to send.
// It is an [*Exhausted] when ctx's deadline passed, and wraps [context.Canceled] when ctx was canceled.
func (c *Client) Resolve(ctx context.Context, req *wire.ResolveRequest) (*wire.ResolveResponse, error) {
	var (
		delays          backoff
		unauthenticated int
		last            error
	)
	for try := 1; ; try++ {
		began := time.Now()
		answer, err := c.try(ctx, req)
		line := tryLine{number: try, duration: time.Since(began), err: err}
		if err == nil {
			line.requestID = answer.RequestID
			if answer.Unchanged { // a sidecar's daily bread
				line.log(ctx, c.Logger, slog.LevelDebug, "nothing changed")
			} else {
				line.log(ctx, c.Logger, slog.LevelInfo, "resolve succeeded")
				c.warn(ctx, answer)
			}
			return answer, nil
		}

		final := !retryable(err)
		if status(err) == http.StatusUnauthorized {
			// The token may have been replaced between reading and judging it, or the replica asked may not have seen a new pod yet.
			unauthenticated++
			final = unauthenticated > 1
		}
		if final {
			line.log(ctx, c.Logger, slog.LevelError, "resolve refused for good")
			return nil, err
		}
		if ctx.Err() != nil {
			// What our own deadline cut short tells less than the try before it.
			if last == nil {
				last = err
			}
			line.log(ctx, c.Logger, slog.LevelError, "resolve interrupted")
			return nil, ended(ctx, try, last)
		}
		last = err
		line.wait = delays.next() + retryAfter(err)
		if deadline, ok := ctx.Deadline(); ok && line.wait >= time.Until(deadline) {
			// No time for another try. It still waits until the deadline: to fail sooner would have the kubelet bring the next request forward.
			line.wait = max(time.Until(deadline), 0)
			line.log(ctx, c.Logger, slog.LevelError, "resolve waits for its deadline")
			<-ctx.Done()
			return nil, ended(ctx, try, last)
		}
		line.log(ctx, c.Logger, slog.LevelWarn, "resolve will be tried again")
		if !sleep(ctx, line.wait) {
			return nil, ended(ctx, try, last)
		}
	}
}

// warn tells of values that are not fresh: their provider did not answer, and its organization lets pods start with what it said last.
func (c *Client) warn(ctx context.Context, answer *wire.ResolveResponse) {
	for _, container := range answer.Containers {
		for _, env := range container.Envs {
			if !env.LastKnownGood.IsZero() {
				c.Logger.LogAttrs(ctx, slog.LevelWarn, "last known good value: the provider did not answer",
					slog.String("container", clean(container.Name)), slog.String("env", clean(env.Name)), slog.String("secret_name", clean(env.Secret)), slog.Time("fetched_at", env.LastKnownGood))
			}
		}
	}
}

// ended turns the end of ctx into the error of Resolve.
func ended(ctx context.Context, tries int, last error) error {
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return fmt.Errorf("resolving: %w", err)
	}
	return &Exhausted{Tries: tries, Last: last}
}

// sleep waits for d and reports whether ctx is still alive then.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// tryLine is the log line of one try.
type tryLine struct {
	number         int
	duration, wait time.Duration
	requestID      string
	err            error
}

func (l tryLine) log(ctx context.Context, logger *slog.Logger, level slog.Level, message string) {
	attrs := make([]slog.Attr, 0, 11)
	attrs = append(attrs, slog.Int("try", l.number), slog.Float64("duration_ms", milliseconds(l.duration)))
	if l.wait > 0 {
		attrs = append(attrs, slog.Float64("wait_ms", milliseconds(l.wait)))
	}
	var refusal *Refusal
	if errors.As(l.err, &refusal) {
		attrs = append(attrs, slog.Int("status", refusal.Status))
		if p := refusal.Problem; p != nil {
			attrs = append(attrs, slog.String("reason", string(p.Code)))
			l.requestID = p.RequestID
			attrs = append(attrs, first(p.Items)...)
		}
	}
	if l.requestID != "" {
		attrs = append(attrs, slog.String("request_id", l.requestID))
	}
	if l.err != nil {
		attrs = append(attrs, slog.String("err", l.err.Error()))
	}
	logger.LogAttrs(ctx, level, message, attrs...) //nolint:sloglint // all callers pass constants
}

// first names the first of what kept a pod waiting: which ENV, which secret, which provider, and why. The end of the agent names all of it.
func first(items []wire.ItemProblem) []slog.Attr {
	if len(items) == 0 {
		return nil
	}
	item := items[0]
	return []slog.Attr{
		slog.String("env", item.Env), slog.String("secret_name", item.Secret), slog.String("provider", item.Provider),
		slog.String("env_reason", string(item.Code)), slog.String("env_err", item.Message),
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
