// SPDX-License-Identifier: Apache-2.0

package names

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// state is what is known of the stream, for metrics and readiness.
type state struct {
	connected atomic.Bool
	lastHeard atomic.Int64 // Unix nanoseconds; 0 for never
	consumers atomic.Int64
	syncs     atomic.Int64
	losses    atomic.Int64
}

func (s *state) heard(now time.Time) { s.lastHeard.Store(now.UnixNano()) }
func (s *state) count(n int)         { s.consumers.Store(int64(n)) }

func (s *state) synced() {
	s.connected.Store(true)
	s.syncs.Add(1)
}

func (s *state) disconnected() {
	s.connected.Store(false)
	s.losses.Add(1)
}

// Status tells how far the view can be relied upon.
type Status struct {
	Synced    bool      // there is a view
	Connected bool      // and a stream keeps it up to date
	LastHeard time.Time // when the registry last said anything; zero if never
	Consumers int
}

// Status returns the present status.
func (c *Client) Status() Status {
	s := Status{Synced: c.View() != nil, Connected: c.state.connected.Load(), Consumers: int(c.state.consumers.Load())}
	if at := c.state.lastHeard.Load(); at != 0 {
		s.LastHeard = time.Unix(0, at)
	}
	return s
}

// Collectors returns the client's metrics.
func (c *Client) Collectors() []prometheus.Collector {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lanyard_injector_names_" + name, Help: help}, value)
	}
	counter := func(name, help string, value *atomic.Int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "lanyard_injector_names_" + name, Help: help}, func() float64 { return float64(value.Load()) })
	}
	return []prometheus.Collector{
		gauge("connected", "1 while a complete names stream is open.", func() float64 {
			if c.state.connected.Load() {
				return 1
			}
			return 0
		}),
		gauge("consumers", "Consumers in the last complete view.", func() float64 { return float64(c.state.consumers.Load()) }),
		gauge("silence_seconds", "Seconds since the secret registry last said anything; -1 if it never has.", func() float64 {
			if at := c.Status().LastHeard; !at.IsZero() {
				return time.Since(at).Seconds()
			}
			return -1
		}),
		counter("syncs_total", "Names streams that became complete.", &c.state.syncs),
		counter("losses_total", "Names streams that ended or could not be opened.", &c.state.losses),
	}
}
