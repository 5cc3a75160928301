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
	Ready func() error
	// Notes, if set, are further lines of an answer that is ready: what an operator should know and no prober acts on. Like Ready it must be cheap and fit for anybody's eyes.
	Notes    func() []string
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
		err := h.Ready()
		answer(w, err)
		if err == nil && h.Notes != nil {
			for _, note := range h.Notes() {
				fmt.Fprintln(w, note)
			}
		}
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
