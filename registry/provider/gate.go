// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// The constants of the gate.
const (
	breakAfter  = 5 // failures in a row
	minCooldown = 2 * time.Second
	maxCooldown = time.Minute
	maxPause    = 30 * time.Second // however long a server wishes to be left alone: it may not switch itself off for the pods of a whole day
	defPause    = time.Second
	retryShare  = 0.2 // retries per success, so that a failing server sees at most a fifth more than its load
	maxRetries  = 10  // that may be saved up
	busyRetry   = time.Second
)

// gate is what stands before one provider: a bound on concurrent reads, a circuit breaker, the pause a server asked for, and the budget for retries.
type gate struct {
	slots   chan struct{}
	queue   time.Duration
	changed func(open bool, failures int) // called without the lock when the circuit opens or closes

	mu        sync.Mutex
	failures  int           // in a row
	cooldown  time.Duration // 0 while the circuit is closed
	openUntil time.Time     // with cooldown > 0: when one read may probe
	probing   bool
	paused    time.Time
	retries   float64
}

func newGate(concurrency int, queue time.Duration, changed func(bool, int)) *gate {
	return &gate{slots: make(chan struct{}, concurrency), queue: queue, changed: changed, retries: 1}
}

// turn is the right to read. The probe of a half-open circuit decides whether it closes.
type turn struct{ probe bool }

// enter waits for a turn. Whoever gets one must call leave.
func (g *gate) enter(ctx context.Context) (turn, *Error) {
	t, err := g.admit(time.Now())
	if err != nil {
		return t, err
	}
	select {
	case g.slots <- struct{}{}:
		return t, nil
	default:
	}
	patience := time.NewTimer(g.queue)
	defer patience.Stop()
	select {
	case g.slots <- struct{}{}:
		return t, nil
	case <-patience.C:
		g.giveUp(t)
		return t, &Error{Kind: KindThrottled, Reason: ReasonBusy, Message: "as many reads as the registry allows are on the way", RetryAfter: jitter(busyRetry)}
	case <-ctx.Done():
		g.giveUp(t)
		return t, asError(ctx.Err())
	}
}

// admit asks the pause and the circuit breaker.
func (g *gate) admit(now time.Time) (turn, *Error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case now.Before(g.paused):
		return turn{}, &Error{Kind: KindThrottled, Reason: ReasonRateLimit, Message: "the server asked for fewer requests", RetryAfter: jitter(g.paused.Sub(now))}
	case g.cooldown == 0:
		return turn{}, nil
	case now.Before(g.openUntil):
		return turn{}, circuitOpen(jitter(g.openUntil.Sub(now)))
	case g.probing:
		return turn{}, circuitOpen(jitter(minCooldown))
	}
	g.probing = true
	return turn{probe: true}, nil
}

func circuitOpen(after time.Duration) *Error {
	return &Error{Kind: KindUnavailable, Reason: ReasonCircuitOpen, Message: "the server failed several times in a row and is given time to recover", RetryAfter: after}
}

// resting reports whether the server asked to be left alone for now.
func (g *gate) resting(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return now.Before(g.paused)
}

// giveUp gives back a turn that never got a slot.
func (g *gate) giveUp(t turn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.probing = g.probing && !t.probe
}

// leave gives the turn back. abandoned says that the read ended because nobody wanted it any more, which says nothing about the server.
func (g *gate) leave(t turn, err *Error, abandoned bool) {
	<-g.slots
	g.mu.Lock()
	before := g.cooldown
	switch {
	case abandoned:
	case err != nil && err.Kind == KindUnavailable:
		g.failed(t, time.Now())
	default:
		g.answered(err, time.Now())
	}
	g.probing = g.probing && !t.probe
	after, failures := g.cooldown, g.failures
	g.mu.Unlock()
	if (before == 0) != (after == 0) && g.changed != nil {
		g.changed(after != 0, failures)
	}
}

func (g *gate) failed(t turn, now time.Time) {
	g.failures++
	switch {
	case g.cooldown == 0 && g.failures < breakAfter:
		return
	case g.cooldown == 0:
		g.cooldown = minCooldown
	case !t.probe: // a straggler that began before the circuit opened
		return
	default:
		g.cooldown = min(2*g.cooldown, maxCooldown)
	}
	g.openUntil = now.Add(jitter(g.cooldown))
}

// answered notes that the server is alive, whatever it said.
func (g *gate) answered(err *Error, now time.Time) {
	g.failures, g.cooldown = 0, 0
	switch {
	case err == nil:
		g.retries = min(g.retries+retryShare, maxRetries)
	case err.Kind == KindThrottled:
		pause := err.RetryAfter
		if pause <= 0 {
			pause = defPause
		}
		g.paused = now.Add(min(pause, maxPause))
	}
}

// mayRetry takes one retry out of the budget, if there is one.
func (g *gate) mayRetry() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.retries < 1 || g.cooldown != 0 {
		return false
	}
	g.retries--
	return true
}

// jitter returns d to 1.5 d: never earlier than asked, and not all at once.
func jitter(d time.Duration) time.Duration {
	return d + rand.N(d/2+1) // spreads load; nobody gains by guessing it
}
