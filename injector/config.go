// SPDX-License-Identifier: Apache-2.0

package injector

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/rest"

	"github.com/lanyard-dev/lanyard/injector/images"
	"github.com/lanyard-dev/lanyard/injector/mutate"
	"github.com/lanyard-dev/lanyard/pkg/podspec"
)

// Config of the injector. [ParseFlags] fills it; its comments are those of the flags.
type Config struct {
	WebhookAddress string
	HealthAddress  string
	ShutdownDelay  time.Duration
	ShutdownWait   time.Duration
	LogLevel       slog.Level

	Namespace     string
	Service       string
	Webhook       string
	CASecret      string
	Kubeconfig    string
	RegistryCA    string
	RegistryToken string
	PolicyFile    string

	ImageRegistries   []string
	ImageRegistriesCA string

	// Agent is what pods get. Its CA and what it says of the cluster are kept up to date by [Run].
	Agent mutate.Config

	Log *slog.Logger // nil means JSON on stderr at LogLevel
	// Kubernetes replaces what Kubeconfig or the pod's service account lead to.
	Kubernetes *rest.Config
}

// namespaceFile is where the kubelet tells a pod its namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// ParseFlags reads the command line without the program's name. It writes the help, and what is wrong with a flag, to output; the error is
// [flag.ErrHelp] if help was asked for.
func ParseFlags(args []string, output io.Writer) (Config, error) {
	var cfg Config
	f := flags(&cfg)
	f.SetOutput(output)
	if err := f.Parse(args); err != nil {
		return cfg, err
	}
	if f.NArg() > 0 {
		return cfg, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if cfg.Namespace == "" {
		text, err := os.ReadFile(namespaceFile)
		if err != nil {
			return cfg, errors.New("flag -namespace is needed outside of a pod")
		}
		cfg.Namespace = strings.TrimSpace(string(text))
	}
	if cfg.ImageRegistriesCA != "" && len(cfg.ImageRegistries) == 0 {
		return cfg, errors.New("flag -image-config-ca-file is for the registries of -image-config-registry, and there is none")
	}
	if cfg.RegistryCA == "" {
		return cfg, errors.New("flag -registry-ca-file is missing")
	}
	check := cfg.Agent
	check.CA = "read later"
	if _, err := mutate.New(check); err != nil {
		return cfg, err
	}
	return cfg, nil
}

func flags(cfg *Config) *flag.FlagSet {
	f := flag.NewFlagSet("lanyard-injector", flag.ContinueOnError)
	f.StringVar(&cfg.WebhookAddress, "webhook-address", ":9443", "`address` of the webhook listener (TLS)")
	f.StringVar(&cfg.HealthAddress, "metrics-address", ":9090", "`address` of the plain listener with /livez, /readyz and /metrics")
	f.DurationVar(&cfg.ShutdownDelay, "shutdown-delay", 5*time.Second, "how long to go on answering after SIGTERM while being unready, so that the API server's view of the endpoints catches up")
	f.DurationVar(&cfg.ShutdownWait, "shutdown-wait", 15*time.Second, "how long to wait for reviews in work after the delay")
	f.TextVar(&cfg.LogLevel, "log-level", slog.LevelInfo, "least `level` that is logged: debug, info, warn or error")

	f.StringVar(&cfg.Namespace, "namespace", "", "`namespace` of the injector's Service and Secret; empty means the pod's own")
	f.StringVar(&cfg.Service, "service", "lanyard-injector", "`name` of the Service in front of the webhook listener")
	f.StringVar(&cfg.Webhook, "webhook-configuration", "lanyard-injector", "`name` of the MutatingWebhookConfiguration whose caBundle is kept")
	f.StringVar(&cfg.CASecret, "ca-secret", "lanyard-injector-ca", "`name` of the Secret that holds the webhook's CA; created if absent")
	f.StringVar(&cfg.Kubeconfig, "kubeconfig", "", "`file` that leads to the API server; empty means the pod's service account")

	f.StringVar(&cfg.Agent.URL, "registry-url", "", "https `URL` of the secret registry's workload listener, for pods and the injector (required)")
	f.StringVar(&cfg.Agent.HostNetworkURL, "registry-host-network-url", "", "`URL` for pods with hostNetwork, whose DNS does not know Services; empty means -registry-url")
	f.StringVar(&cfg.Agent.ServerName, "registry-server-name", "", "`name` the secret registry's certificate is checked against; empty means the URL's host")
	f.StringVar(&cfg.RegistryCA, "registry-ca-file", "", "PEM `file` the secret registry's certificate is checked against; handed to pods, read again when it changes (required)")
	f.StringVar(&cfg.RegistryToken, "registry-token-file", "/var/run/secrets/lanyard/token", "`file` with the injector's own service account token for the secret registry's audience")
	f.StringVar(&cfg.Agent.Audience, "audience", podspec.Audience, "`audience` of the tokens in pods")

	f.Func("provider-pod-audience", "`audience` that pods may have tokens of their own for, to have secret providers decide by them; repeatable", func(text string) error {
		cfg.Agent.ProviderAudiences = append(cfg.Agent.ProviderAudiences, text)
		return nil
	})

	f.StringVar(&cfg.PolicyFile, "policy-file", "", "YAML `file` with the delivery policy of the installation and its namespaces, read again when it changes; empty allows everything")

	f.Func("image-config-registry", "image registry, as `host[:port]`, that may be asked what an image runs, for pods that want it; http:// in front for one without TLS, for tests; repeatable; none by default", func(text string) error {
		cfg.ImageRegistries = append(cfg.ImageRegistries, text)
		return images.CheckRegistry(text)
	})
	f.StringVar(&cfg.ImageRegistriesCA, "image-config-ca-file", "", "PEM `file` the certificates of these registries are checked against, besides the system's authorities; read again when it changes")

	f.StringVar(&cfg.Agent.Image, "agent-image", "", "`image` of the init agent (required)")
	f.StringVar(&cfg.Agent.PullPolicy, "agent-image-pull-policy", "IfNotPresent", "pull `policy` of that image")
	f.DurationVar(&cfg.Agent.Deadline, "agent-deadline", podspec.DefaultDeadline, "how long the init agent tries before it fails the pod")
	f.BoolVar(&cfg.Agent.Verify, "agent-verify", false, "prove on the node, with a second init container, that the kubelet reads env files")
	quantity(f, &cfg.Agent.CPURequest, "agent-cpu-request", "10m", "CPU `quantity` the init container requests; 0 for none")
	quantity(f, &cfg.Agent.MemoryRequest, "agent-memory-request", "16Mi", "memory `quantity` the init container requests; 0 for none")
	quantity(f, &cfg.Agent.CPULimit, "agent-cpu-limit", "500m", "CPU `quantity` the init container is limited to where the pod's other containers have CPU limits; 0 for none")
	quantity(f, &cfg.Agent.MemoryLimit, "agent-memory-limit", "64Mi", "memory `quantity` the init container is limited to; 0 for none")
	return f
}

func quantity(f *flag.FlagSet, q *resource.Quantity, name, value, usage string) {
	*q = resource.MustParse(value)
	f.Func(name, usage+" (default "+value+")", func(text string) error {
		parsed, err := resource.ParseQuantity(text)
		if err == nil && parsed.Sign() < 0 {
			err = errors.New("it is negative")
		}
		*q = parsed
		return err
	})
}
