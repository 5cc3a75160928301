// SPDX-License-Identifier: Apache-2.0

// Package registry is the secret registry: it wires the store, the two APIs and the audit log together, and runs them until it is told to stop.
package registry

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Config is everything a registry is told. [Config.Flags] binds it to a command line, [Config.Validate] checks it.
type Config struct {
	// Exactly one of DataDir (an etcd in this process) and EtcdEndpoints (one of yours) is set.
	DataDir       string
	EtcdEndpoints []string
	EtcdCAFile    string
	EtcdCertFile  string
	EtcdKeyFile   string
	EtcdPlaintext bool
	EtcdPrefix    string

	KeyDir             string // the key ring, as a mounted Secret
	BootstrapTokenFile string // empty: there is no bootstrap token
	// AcceptEndedBootstrap accepts the bootstrap token also after the first administrator signed in: the way in for who locked himself out.
	AcceptEndedBootstrap bool

	// TLSDir holds tls.crt and tls.key. If they are an authority, leaves for TLSNames are signed in memory. Empty serves plain HTTP, on loopback only.
	TLSDir   string
	TLSNames []string

	APIAddress      string
	WorkloadAddress string
	MetricsAddress  string

	// Audience, ClusterName and InjectorServiceAccount ("<namespace>/<name>") say whose tokens are accepted. NoCluster turns the workload API off.
	Audience string
	// APIAudience is the audience of service account tokens that the administrators' API accepts; empty: none.
	APIAudience            string
	ClusterName            string
	InjectorServiceAccount string
	NoCluster              bool

	// SignIn is how people sign in.
	SignIn SignIn

	// Federation is how CI jobs outside the cluster are let in.
	Federation Federation

	// Providers is where the registry may connect for remote secrets, and to whom it may show its own service account.
	Providers ProviderPolicy

	// Audit is the file that audit events are kept in besides etcd.
	Audit AuditFile
	// DeletedRetention and KeptVersions say what of secrets is kept that no longer resolves; see [store.Config].
	DeletedRetention time.Duration
	KeptVersions     int

	DrainDelay time.Duration
	LogLevel   slog.Level

	// AuditOut receives every audit event as a line of JSON; stdout in production. LogOut receives the log; stderr.
	AuditOut io.Writer
	LogOut   io.Writer
	// Started, if set, is called once with the addresses that were bound.
	Started func(Addresses)
}

// Addresses are where a running registry listens.
type Addresses struct{ API, Workload, Metrics string }

// Flags binds c to flags, with the defaults of production.
func (c *Config) Flags(flags *flag.FlagSet) {
	flags.StringVar(&c.DataDir, "data-dir", "", "`directory` of the etcd inside this process; without it, -etcd-endpoints")
	flags.Func("etcd-endpoints", "comma-separated `URLs` of an etcd of yours, never the API server's", list(&c.EtcdEndpoints))
	flags.StringVar(&c.EtcdCAFile, "etcd-ca-file", "", "PEM `file` to verify etcd against")
	flags.StringVar(&c.EtcdCertFile, "etcd-cert-file", "", "PEM `file` of the client certificate for etcd")
	flags.StringVar(&c.EtcdKeyFile, "etcd-key-file", "", "PEM `file` of the client certificate's key")
	flags.BoolVar(&c.EtcdPlaintext, "etcd-allow-plaintext", false, "accept http:// endpoints that are not on loopback")
	flags.StringVar(&c.EtcdPrefix, "etcd-prefix", store.DefaultPrefix, "prefix of all keys, ending with a slash")
	flags.StringVar(&c.KeyDir, "key-dir", "/etc/lanyard/keys", "`directory` of the key ring: one file a key, and `primary`")
	flags.StringVar(&c.BootstrapTokenFile, "bootstrap-token-file", "", "`file` of the bootstrap token; without it there is none")
	flags.BoolVar(&c.AcceptEndedBootstrap, "accept-ended-bootstrap-token", false, "break glass: accept the bootstrap token although an administrator has signed in; for who locked himself out, and for as long")
	flags.StringVar(&c.TLSDir, "tls-dir", "/etc/lanyard/tls", "`directory` of tls.crt and tls.key: a certificate, or an authority to sign one with")
	flags.Func("tls-dns-name", "DNS `name` of the certificates signed with the authority; repeatable", appendTo(&c.TLSNames))
	flags.StringVar(&c.APIAddress, "api-address", ":8443", "`address` of the administrators' API")
	flags.StringVar(&c.WorkloadAddress, "workload-address", ":9443", "`address` of the workload API")
	flags.StringVar(&c.MetricsAddress, "metrics-address", ":9090", "`address` of metrics and health, plain HTTP")
	flags.StringVar(&c.Audience, "audience", podspec.Audience, "audience of the tokens of pods and of the injector")
	flags.StringVar(&c.APIAudience, "api-audience", "", "audience of service account tokens for the administrators' API; without it, service accounts cannot call it")
	flags.StringVar(&c.ClusterName, "cluster-name", "default", "name of this cluster in bindings")
	flags.StringVar(&c.InjectorServiceAccount, "injector-service-account", "lanyard/lanyard-injector", "`namespace/name` of the injector's service account")
	c.SignIn.flags(flags)
	c.Federation.flags(flags)
	c.Providers.flags(flags)
	c.Audit.flags(flags)
	flags.DurationVar(&c.DeletedRetention, "deleted-retention", store.DefaultDeletedRetention, "how long a deleted secret can be undeleted before it is purged for good; -1s keeps it for ever")
	flags.IntVar(&c.KeptVersions, "kept-versions", 0, "how many superseded versions of a secret are kept; older ones are destroyed unless they are pinned; 0 keeps all")
	flags.DurationVar(&c.DrainDelay, "drain-delay", 5*time.Second, "how long to go on answering after SIGTERM while others notice")
	flags.TextVar(&c.LogLevel, "log-level", slog.LevelInfo, "debug, info, warn or error; no level logs a value")
}

// Validate reports everything that is wrong with c, each with the flag to correct.
func (c *Config) Validate() error {
	var problems []error
	complain := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if (c.DataDir == "") == (len(c.EtcdEndpoints) == 0) {
		complain("give exactly one of -data-dir and -etcd-endpoints")
	}
	if (c.EtcdCertFile == "") != (c.EtcdKeyFile == "") {
		complain("-etcd-cert-file and -etcd-key-file go together")
	}
	for _, endpoint := range c.EtcdEndpoints {
		if strings.HasPrefix(endpoint, "https://") && c.EtcdCAFile == "" {
			complain("-etcd-endpoints: %s needs -etcd-ca-file", endpoint)
		}
	}
	if c.AcceptEndedBootstrap && c.BootstrapTokenFile == "" {
		complain("-accept-ended-bootstrap-token needs -bootstrap-token-file")
	}
	if c.KeptVersions < 0 {
		complain("-kept-versions must not be negative")
	}
	if c.KeyDir == "" {
		complain("-key-dir is required")
	}
	if len(c.Providers.TrustedAddresses) > 0 && c.Providers.TokenAudience == c.Audience {
		complain("-provider-token-audience: %q is the audience of pods: a provider could use the registry's token against the registry", c.Audience)
	}
	for _, audience := range c.Providers.PodAudiences {
		if audience == c.Audience || audience == c.APIAudience {
			complain("-provider-pod-audience: %q is an audience of this registry: a provider could use a pod's token against it", audience)
		}
	}
	if !c.NoCluster {
		if namespace, name, ok := strings.Cut(c.InjectorServiceAccount, "/"); !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
			complain("-injector-service-account: %q is not <namespace>/<name>", c.InjectorServiceAccount)
		}
		if c.Audience == "" || c.ClusterName == "" {
			complain("-audience and -cluster-name are required")
		}
		if c.APIAudience != "" && c.APIAudience == c.Audience {
			complain("-api-audience must not be -audience: pods' tokens would be good for the administrators' API")
		}
	}
	if err := c.SignIn.validate(); err != nil {
		problems = append(problems, err)
	}
	if err := c.Federation.validate(); err != nil {
		problems = append(problems, err)
	}
	if err := c.Providers.validate(); err != nil {
		problems = append(problems, err)
	}
	if err := c.Audit.validate(); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

func list(into *[]string) func(string) error {
	return func(text string) error {
		*into = nil
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item == "" {
				return errors.New("empty item in the list")
			}
			*into = append(*into, item)
		}
		return nil
	}
}

func appendTo(into *[]string) func(string) error {
	return func(text string) error {
		*into = append(*into, text)
		return nil
	}
}
