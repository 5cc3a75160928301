// SPDX-License-Identifier: Apache-2.0

package injector

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// health serves /livez, /readyz and /metrics.
func (i *injector) health() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if err := i.ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		s := i.names.Status()
		n, _ := i.nodes.Summary()
		_, _ = fmt.Fprintf(w, "ok\nnames: connected=%t consumers=%d silent_for=%s\ncertificate: not_after=%s\nnodes: schedulable=%d without_env_files=%d without_image_volumes=%d\n",
			s.Connected, s.Consumers, time.Since(s.LastHeard).Round(time.Second), i.cert.Expiry().Format(time.RFC3339), n.Nodes, n.EnvFiles.Nodes, n.ImageVolumes.Nodes)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(i.metrics, promhttp.HandlerOpts{}))
	return mux
}

// ready returns everything that keeps the replica from answering well.
func (i *injector) ready() error {
	var errs []error
	if i.draining.Load() {
		errs = append(errs, errors.New("draining"))
	}
	if err := i.cert.Ready(); err != nil {
		errs = append(errs, fmt.Errorf("certificate: %w", err))
	}
	if i.names.View() == nil {
		errs = append(errs, errors.New("names: never received from the secret registry"))
	}
	if !i.versioned.Load() {
		errs = append(errs, errors.New("cluster: version unknown"))
	}
	if _, known := i.nodes.Summary(); !known {
		errs = append(errs, errors.New("cluster: nodes unknown"))
	}
	return errors.Join(errs...)
}
