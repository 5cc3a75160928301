// SPDX-License-Identifier: Apache-2.0

// Package injector is the admission webhook that makes opted-in pods run the init agent.
//
// It holds what a decision needs in memory: the names of consumers (package names), its configuration, the API server's version and what the nodes can do
// (package nodes). While it admits a pod it calls nobody, but for pods that want their command looked up in their image, where the operator allows that (package images). It never sees
// a value, reads no Secret but its own CA and, for such a pod, its image pull secrets, and creates no token.
//
// # Readiness
//
// A replica is ready once it serves a certificate the API server trusts, has the consumers' names and knows the API server's version and the nodes. It stays
// ready when the secret registry goes away: names it has are better than none, and a pod that must not have values is refused again when it resolves.
package injector

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	admissionregistration "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
	core "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/lanyard-dev/lanyard/injector/admission"
	"github.com/lanyard-dev/lanyard/injector/images"
	"github.com/lanyard-dev/lanyard/injector/mutate"
	"github.com/lanyard-dev/lanyard/injector/names"
	"github.com/lanyard-dev/lanyard/injector/nodes"
	"github.com/lanyard-dev/lanyard/injector/servingcert"
	"github.com/lanyard-dev/lanyard/internal/events"
)

// injector is a running replica.
type injector struct {
	cfg                 Config
	log                 *slog.Logger
	names               *names.Client
	cert                *servingcert.Source
	planner             *planner
	images              *images.Client // nil without registries
	nodes               *nodes.Follower
	events              *events.Poster
	support             support
	core                core.CoreV1Interface
	metrics             *prometheus.Registry
	versioned, draining atomic.Bool
}

// Run serves until ctx is done and then drains: it turns unready, goes on answering for the delay, and waits for reviews in work. It returns nil after an
// orderly end.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: cfg.LogLevel}))
	}
	i, err := build(cfg)
	if err != nil {
		return err
	}
	webhook, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.WebhookAddress)
	if err != nil {
		return fmt.Errorf("listening for reviews: %w", err)
	}
	health, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.HealthAddress)
	if err != nil {
		_ = webhook.Close()
		return fmt.Errorf("listening for health: %w", err)
	}
	return i.serve(ctx, webhook, health)
}

func build(cfg Config) (*injector, error) {
	kube, err := kubernetes(cfg)
	if err != nil {
		return nil, err
	}
	client, err := rest.HTTPClientFor(kube)
	if err != nil {
		return nil, fmt.Errorf("building the API server's client: %w", err)
	}
	coreClient, err := core.NewForConfigAndClient(kube, client)
	if err != nil {
		return nil, fmt.Errorf("building the API server's client: %w", err)
	}
	patient := rest.CopyConfig(kube)
	patient.Timeout = 0 // a watch lasts
	watching, err := core.NewForConfig(patient)
	if err != nil {
		return nil, fmt.Errorf("building the API server's client: %w", err)
	}
	webhooks, err := admissionregistration.NewForConfigAndClient(kube, client)
	if err != nil {
		return nil, fmt.Errorf("building the API server's client: %w", err)
	}
	i := &injector{cfg: cfg, log: cfg.Log, core: coreClient, metrics: prometheus.NewRegistry()}
	i.names = names.New(names.Config{
		URL: cfg.Agent.URL, ServerName: cfg.Agent.ServerName, CAFile: cfg.RegistryCA, TokenFile: cfg.RegistryToken, Log: cfg.Log.With("part", "names"),
	})
	i.cert = servingcert.New(servingcert.Config{
		Secrets: coreClient.Secrets(cfg.Namespace), Webhooks: webhooks.MutatingWebhookConfigurations(), SecretName: cfg.CASecret, Webhook: cfg.Webhook,
		Host: cfg.Service + "." + cfg.Namespace + ".svc", Log: cfg.Log.With("part", "servingcert"),
	})
	i.planner = &planner{view: i.view, cfg: cfg.Agent}
	i.support.apply(&i.planner.cfg)
	i.nodes = nodes.New(nodes.Config{Client: watching.Nodes(), Changed: i.changeNodes, Log: cfg.Log.With("part", "nodes")})
	if err := i.planner.loadCA(cfg.RegistryCA); err != nil {
		return nil, err
	}
	if cfg.PolicyFile != "" {
		if err := i.planner.loadPolicy(cfg.PolicyFile); err != nil {
			return nil, err
		}
	}
	host, _ := os.Hostname() // the pod's name; without one the Events do not tell replicas apart
	i.events = events.New(events.Config{
		API: events.Client{REST: coreClient.RESTClient()}, Controller: "lanyard.dev/injector", Instance: host, Log: cfg.Log.With("part", "events"),
		Metric: "lanyard_injector_events_total", Registerer: i.metrics,
	})
	if err := i.lookImagesUp(kube); err != nil {
		return nil, err
	}
	i.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	i.metrics.MustRegister(i.names.Collectors()...)
	i.metrics.MustRegister(i.nodes.Collectors()...)
	i.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "lanyard_injector_certificate_expiry_timestamp_seconds", Help: "When the serving certificate expires, in Unix time; 0 without one.",
	}, func() float64 {
		if at := i.cert.Expiry(); !at.IsZero() {
			return float64(at.Unix())
		}
		return 0
	}))
	return i, nil
}

func (i *injector) view() mutate.Names {
	if v := i.names.View(); v != nil {
		return v
	}
	return nil
}

// lookImagesUp lets pods have images looked up, if the operator named registries.
func (i *injector) lookImagesUp(kube *rest.Config) error {
	if len(i.cfg.ImageRegistries) == 0 {
		return nil
	}
	brisk := rest.CopyConfig(kube)
	brisk.QPS = -1 // the pods of a rollout do not wait for one another
	client, err := core.NewForConfig(brisk)
	if err != nil {
		return fmt.Errorf("building the API server's client: %w", err)
	}
	if i.images, err = images.New(images.Config{Registries: i.cfg.ImageRegistries, Secrets: pullSecrets{client}}); err != nil {
		return err
	}
	if path := i.cfg.ImageRegistriesCA; path != "" {
		if err := i.images.LoadCA(path); err != nil {
			return err
		}
	}
	i.planner.images = i.images
	i.metrics.MustRegister(i.images.Collectors()...)
	return nil
}

// kubernetes returns how to reach the API server. Nothing here calls it often enough to need a limit on our side.
func kubernetes(cfg Config) (*rest.Config, error) {
	kube, err := cfg.Kubernetes, error(nil)
	if kube == nil {
		if kube, err = clientcmd.BuildConfigFromFlags("", cfg.Kubeconfig); err != nil {
			return nil, fmt.Errorf("finding the API server: %w", err)
		}
	}
	kube = rest.CopyConfig(kube)
	kube.UserAgent = "lanyard-injector"
	kube.Timeout = 15 * time.Second
	return kube, nil
}

// serve runs everything on two listeners, which it closes.
func (i *injector) serve(ctx context.Context, webhook, health net.Listener) error {
	reviews := http.NewServeMux()
	reviews.Handle(admission.Path, admission.NewHandler(admission.Config{Planner: i.planner, Events: ownerEvents{i.events}, Metrics: admission.NewMetrics(i.metrics), Log: i.log}))
	servers := []*http.Server{server(i.closing(reviews), i.log), server(i.health(), i.log)}
	servers[0].TLSConfig = &tls.Config{GetCertificate: i.cert.GetCertificate, MinVersion: tls.VersionTLS12} // API servers of old Go versions speak 1.2

	// What follows the world outlives ctx: the drain still needs it.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, failed := errgroup.WithContext(background)
	group.Go(func() error { i.names.Run(background); return nil })
	group.Go(func() error { i.cert.Run(background); return nil })
	group.Go(func() error { return i.planner.watch(background, i.cfg.RegistryCA, i.planner.loadCA, i.log) })
	if path := i.cfg.PolicyFile; path != "" {
		group.Go(func() error { return i.planner.watch(background, path, i.planner.loadPolicy, i.log) })
	}
	if path := i.cfg.ImageRegistriesCA; path != "" {
		group.Go(func() error { return i.planner.watch(background, path, i.images.LoadCA, i.log) })
	}
	group.Go(func() error { i.watchVersion(background); return nil })
	group.Go(func() error { i.nodes.Run(background); return nil })
	group.Go(func() error { i.events.Run(background); return nil })
	group.Go(func() error { return closed(servers[0].ServeTLS(webhook, "", "")) })
	group.Go(func() error { return closed(servers[1].Serve(health)) })
	i.log.Info("serving", "webhook_address", webhook.Addr().String(), "health_address", health.Addr().String())

	select {
	case <-ctx.Done():
	case <-failed.Done(): // a part broke: end with its error
	}
	err := i.drain(failed, servers)
	stop()
	return errors.Join(group.Wait(), err)
}

// closing makes each answer the last of its connection while the injector drains. The API server keeps connections, and a review that it sends on one at the moment
// Shutdown closes it is lost: the pod would be refused.
func (i *injector) closing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

func (i *injector) drain(failed context.Context, servers []*http.Server) error {
	i.draining.Store(true)
	i.log.Info("draining", "delay_ms", i.cfg.ShutdownDelay.Milliseconds())
	select {
	case <-time.After(i.cfg.ShutdownDelay):
	case <-failed.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), i.cfg.ShutdownWait)
	defer cancel()
	var errs []error
	for _, s := range servers {
		if err := s.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("draining: %w", err), s.Close())
		}
	}
	return errors.Join(errs...)
}

func closed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// server sets every limit: admission reviews are small and the API server is near.
func server(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: 3 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 15 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // handshakes of port scanners
	}
}

// watchVersion keeps the planner's knowledge of the cluster until ctx is done. What was learnt once holds until something else is.
func (i *injector) watchVersion(ctx context.Context) {
	told := ""
	for {
		pause := versionInterval
		info, err := serverVersion(ctx, i.core.RESTClient())
		if err == nil {
			if gates, err := tryGates(ctx, i.core.PodTemplates(i.cfg.Namespace)); err == nil {
				i.support.setGates(gates)
			} else if ctx.Err() == nil { // an API server that does not take a field refuses the pod: no container starts without its values either way
				i.log.Warn("the API server's features are judged by its version alone", "err", err)
			}
			i.support.setServer(info)
			why := ""
			err = i.planner.change(func(c *mutate.Config) { i.support.apply(c); why = c.Unsupported })
			i.versioned.Store(true)
			switch {
			case why == told:
			case why == "":
				i.log.Info("the envfile delivery is available again", "version", info.GitVersion)
			default:
				i.log.Warn("the envfile delivery is not available", "reason", mutate.ReasonUnsupported, "version", info.GitVersion, "why", why)
			}
			told = why
		}
		if err != nil && ctx.Err() == nil {
			i.log.Warn("learning the cluster's version", "err", err)
			if pause = versionInterval; !i.versioned.Load() {
				pause = 5 * time.Second
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// changeNodes takes in what the nodes can do now.
func (i *injector) changeNodes(s nodes.Summary) {
	news := i.support.setNodes(s)
	if err := i.planner.change(i.support.apply); err != nil {
		i.log.Warn("taking in what the nodes can do", "err", err)
	}
	if news {
		i.log.Info("what the nodes can do", "nodes", s.Nodes, "without_env_files", s.EnvFiles.Nodes, "env_files", s.EnvFiles.Why,
			"without_image_volumes", s.ImageVolumes.Nodes, "image_volumes", s.ImageVolumes.Why)
	}
}
