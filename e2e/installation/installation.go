// SPDX-License-Identifier: Apache-2.0

package installation

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-dev/lanyard/e2e/cluster"
)

// Names of the release.
const (
	Release   = "lanyard"
	Namespace = "lanyard"
	// ClusterName is the chart's default for bindings.
	ClusterName = "default"
	imagePrefix = "ghcr.io/lanyard-dev"
)

// Config says how to install.
type Config struct {
	// Values are further `--set` arguments of helm, e.g. "injector.replicas=1".
	Values []string
	// People are the names of those who can sign in, at an OpenID provider that then runs in the cluster. If none, people cannot.
	People []string
	// Images are those of [BuildImages]. If none, Install builds them.
	Images Images
	// Progress receives a line for each step. If nil, none is written.
	Progress io.Writer
}

// Installation is Lanyard, running on a cluster.
type Installation struct {
	Cluster *cluster.Cluster
	Client  kubernetes.Interface
	// API is the administrators' API with the bootstrap token.
	API *API

	config Config
	helm   string
	// What [Installation.Browser] works with.
	registryCA, openidCA []byte
	password             string // everybody's
}

// Install loads the images, installs the chart and waits until the registry and the injector are ready.
func Install(ctx context.Context, c *cluster.Cluster, config Config) (*Installation, error) {
	restConfig, err := c.RESTConfig()
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	i := &Installation{Cluster: c, Client: client, config: config}
	if i.helm, err = c.Helm(ctx); err != nil {
		return nil, err
	}
	if err := i.loadImages(ctx, config.Images); err != nil {
		return nil, err
	}
	if len(config.People) > 0 {
		values, err := i.startOpenID(ctx, config.People)
		if err != nil {
			return nil, err
		}
		i.config.Values = append(slices.Clone(config.Values), values...)
	}
	if err := i.Upgrade(ctx); err != nil {
		return nil, err
	}
	if i.API, err = i.connect(ctx); err != nil {
		return nil, err
	}
	return i, nil
}

// Upgrade runs `helm upgrade --install` with the values of Install and those given, and waits until everything is ready.
func (i *Installation) Upgrade(ctx context.Context, values ...string) error {
	i.config.progress("helm upgrade --install %s charts/lanyard", Release)
	chart, err := checkoutPath("charts", "lanyard")
	if err != nil {
		return err
	}
	args := []string{
		"upgrade", "--install", Release, chart, "--kubeconfig", i.Cluster.Kubeconfig(), "--namespace", Namespace, "--create-namespace",
		"--wait", "--timeout", "5m",
		"--set", "registry.image.tag=" + version, "--set", "injector.image.tag=" + version, "--set", "agent.image.tag=" + version,
	}
	for _, value := range append(append([]string(nil), i.config.Values...), values...) {
		args = append(args, "--set", value)
	}
	if err := i.run(ctx, i.helm, args...); err != nil {
		return fmt.Errorf("installing the chart: %w\n%s", err, i.Diagnose(context.WithoutCancel(ctx)))
	}
	return nil
}

// AllowVault returns the values with which the operator lets providers use a Vault over plain HTTP, wherever it is, and show it the registry's service account, and pods'.
func AllowVault(address string) []string {
	host := address
	if u, err := url.Parse(address); err == nil {
		host = u.Hostname()
	}
	return []string{"providers.allowHTTP=true", "providers.allowCIDRs[0]=" + host + "/32", "providers.trustedAddresses[0]=" + address, "providers.podAudiences[0]=vault"}
}

// Diagnose returns what a person would look at first when an installation does not become ready. It holds no Secret.
func (i *Installation) Diagnose(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var all bytes.Buffer
	for _, args := range [][]string{
		{"get", "pods", "-A", "-o", "wide"},
		{"get", "events", "-n", Namespace, "--sort-by=.lastTimestamp"},
		{"logs", "-n", Namespace, "-l", "app.kubernetes.io/part-of=lanyard", "--all-containers", "--prefix", "--tail=30", "--ignore-errors"},
	} {
		fmt.Fprintf(&all, "--- kubectl %s\n", strings.Join(args, " "))
		out, _ := i.Cluster.Kubectl(ctx, args...).CombinedOutput()
		all.Write(out)
	}
	return all.String()
}

func (i *Installation) run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+os.TempDir(), "HELM_CONFIG_HOME="+os.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), args[0], err, out)
	}
	return nil
}

func (config Config) progress(format string, args ...any) {
	if config.Progress != nil {
		fmt.Fprintf(config.Progress, format+"\n", args...)
	}
}

// checkoutPath returns a path below the root of the checkout the working directory is in.
func checkoutPath(elements ...string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "charts", "lanyard", "Chart.yaml")); err == nil {
			return filepath.Join(append([]string{dir}, elements...)...), nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("finding %s: the working directory is outside a checkout of lanyard", filepath.Join(elements...))
		}
		dir = parent
	}
}
