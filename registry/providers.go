// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"time"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/aws"
	"github.com/lanyard-dev/lanyard/registry/provider/azure"
	"github.com/lanyard-dev/lanyard/registry/provider/gcp"
	"github.com/lanyard-dev/lanyard/registry/provider/kubernetes"
	"github.com/lanyard-dev/lanyard/registry/provider/vault"
	"github.com/lanyard-dev/lanyard/registry/remote"
)

// ProviderPolicy is the operator's part in secret providers, whose addresses owners of organizations write. The zero policy allows https to every address that is not
// special (loopback, link-local, metadata services, …), and shows the registry's own service account to nobody.
type ProviderPolicy struct {
	AllowCIDRs []string // networks that are allowed although they are special
	AllowHTTP  bool     // also http://, with everything in clear
	// TrustedAddresses are servers that may be shown a token of the registry's own service account, or of a pod's, to log in with.
	TrustedAddresses []string
	// TokenFile holds that token, for TokenAudience and nobody else; empty: there is none.
	TokenFile     string
	TokenAudience string
	// PodAudiences are the audiences of tokens of their own that pods may be asked for, to be shown to these servers.
	PodAudiences []string
	// ClusterNamespaces are namespaces of this cluster whose Secrets every organization may read with the registry's own service account, as far as its Roles go.
	ClusterNamespaces []string
	// HealthInterval is how often each provider is checked in the background; 0 means never.
	HealthInterval time.Duration
}

// minHealthInterval keeps a typing error from becoming a load on somebody's Vault.
const minHealthInterval = 5 * time.Second

// What the kubelet and the cluster's DNS give to every pod.
const (
	clusterAddress   = "https://kubernetes.default.svc"
	clusterDirectory = "/var/run/secrets/kubernetes.io/serviceaccount"
)

func (p *ProviderPolicy) flags(flags *flag.FlagSet) {
	flags.Func("provider-allow-cidr", "`network` that secret providers may be in although it is loopback, link-local or otherwise special; repeatable", appendTo(&p.AllowCIDRs))
	flags.BoolVar(&p.AllowHTTP, "provider-allow-http", false, "accept secret providers at http:// addresses: values and credentials travel in clear")
	flags.Func("provider-trusted-address", "`URL` of a secret provider that may be shown a token of the registry's own service account, or of a pod's; repeatable", appendTo(&p.TrustedAddresses))
	flags.StringVar(&p.TokenFile, "provider-token-file", "", "`file` of that token, which has no other audience; without it there is none")
	flags.StringVar(&p.TokenAudience, "provider-token-audience", "vault", "audience of that token")
	flags.Func("provider-pod-audience", "`audience` of tokens of their own that pods may be asked for, to have a trusted provider decide by them; repeatable", appendTo(&p.PodAudiences))
	flags.Func("provider-cluster-namespace", "`namespace` whose Secrets every organization may read with the registry's own service account; repeatable", appendTo(&p.ClusterNamespaces))
	flags.DurationVar(&p.HealthInterval, "provider-health-interval", time.Minute, "how often each secret provider is checked in the background; 0 turns it off")
}

func (p *ProviderPolicy) validate() error {
	_, err := p.host()
	if p.HealthInterval != 0 && p.HealthInterval < minHealthInterval {
		err = errors.Join(err, fmt.Errorf("-provider-health-interval: at least %s, or 0 to turn it off", minHealthInterval))
	}
	return err
}

// host is what providers are lent. Its error names the flag to correct.
func (p *ProviderPolicy) host() (provider.Host, error) {
	guard := &egress.Guard{AllowHTTP: p.AllowHTTP}
	host := provider.Host{Egress: guard}
	var problems []error
	for _, text := range p.AllowCIDRs {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			problems = append(problems, fmt.Errorf("-provider-allow-cidr: %q is not a network such as 10.0.0.0/8", text))
			continue
		}
		guard.Allow = append(guard.Allow, network.Masked())
	}
	for i, text := range p.TrustedAddresses {
		address, err := guard.ParseAddress(text)
		if err != nil { // it does not quote the address
			problems = append(problems, fmt.Errorf("-provider-trusted-address: number %d: %w", i+1, err))
			continue
		}
		host.TrustedAddresses = append(host.TrustedAddresses, address.String())
	}
	for _, audience := range p.PodAudiences {
		if err := podspec.CheckProviderAudience(audience); err != nil {
			problems = append(problems, fmt.Errorf("-provider-pod-audience: %q %w", audience, err))
		}
	}
	host.PodAudiences = p.PodAudiences
	if len(p.TrustedAddresses) > 0 && p.TokenFile == "" && len(p.PodAudiences) == 0 {
		problems = append(problems, errors.New("-provider-trusted-address needs -provider-token-file or -provider-pod-audience"))
	}
	if p.TokenFile != "" {
		host.ServiceAccountToken = provider.TokenFile(p.TokenFile, cmp.Or(p.TokenAudience, "vault"))
	}
	if len(p.ClusterNamespaces) > 0 {
		host.Cluster = &provider.Cluster{Address: clusterAddress, Directory: clusterDirectory, Namespaces: p.ClusterNamespaces}
	}
	return host, errors.Join(problems...)
}

// openProviders connects the types of providers there are with the store. It does no I/O.
func (r *server) openProviders() (*remote.Providers, error) {
	host, err := r.config.Providers.host()
	if err != nil {
		return nil, err
	}
	host.Log = r.log
	return remote.New(provider.Config{Types: []provider.Type{vault.Type(), kubernetes.Type(), aws.SecretsManager(), aws.SSM(), azure.Type(), gcp.Type()}, Host: host,
		HealthInterval: r.config.Providers.HealthInterval, Metrics: r.metrics, Log: r.log},
		func(ctx context.Context) (remote.View, error) { return r.store.View(ctx) }, func() remote.Book { return r.store })
}
