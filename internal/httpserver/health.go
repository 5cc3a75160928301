// SPDX-License-Identifier: Apache-2.0

package httpserver

import (
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Health answers the kubelet's probes. The zero value is live, not draining, and ready when Ready says so.
type Health struct {
	// Ready returns nil, or why requests cannot be served now. It must be cheap, and its error must be fit for the eyes of whoever reaches the port.
	Ready    func() error
	draining atomic.Bool
}

// Drain makes the server not ready, for good: it is about to stop.
func (h *Health) Drain() { h.draining.Store(true) }

// Handler serves /livez, /readyz and /metrics. It never serves anything of a user's.
func (h *Health) Handler(metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if h.draining.Load() {
			answer(w, fmt.Errorf("shutting down"))
			return
		}
		answer(w, h.Ready())
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return mux
}

func answer(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "not ready:", err)
		return
	}
	fmt.Fprintln(w, "ok")
}
