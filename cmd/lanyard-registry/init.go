// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/lanyard-dev/lanyard/registry/install"
)

// usageError is a mistake on the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func parse(flags *flag.FlagSet, args []string, stderr io.Writer) error {
	flags.SetOutput(stderr)
	if err := flags.Parse(args); err != nil {
		if err == flag.ErrHelp { //nolint:errorlint // flag returns it unwrapped
			return err
		}
		return usageError{err}
	}
	if flags.NArg() > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", flags.Arg(0))}
	}
	return nil
}

func initialize(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg := install.Config{Out: stdout, Labels: map[string]string{"app.kubernetes.io/name": "lanyard", "app.kubernetes.io/managed-by": "lanyard-init"}}
	flags := flag.NewFlagSet("init", flag.ContinueOnError)
	flags.StringVar(&cfg.Namespace, "namespace", "", "namespace to create them in")
	flags.StringVar(&cfg.KeySecret, "key-secret", "", "name of the key ring Secret; empty: leave it to others")
	flags.StringVar(&cfg.BootstrapSecret, "bootstrap-secret", "", "name of the bootstrap token Secret; empty: leave it to others")
	flags.StringVar(&cfg.CASecret, "tls-secret", "", "name of the Secret of the authority that signs the registry's certificates; empty: leave it to others")
	flags.StringVar(&cfg.CAConfigMap, "ca-configmap", "", "name of the ConfigMap that publishes the authority's certificate; required with -tls-secret")
	flags.StringVar(&cfg.InjectorSecret, "injector-cert-secret", "", "name of the Secret, created empty, in which the injector keeps its authority")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	switch {
	case cfg.Namespace == "":
		return usageError{fmt.Errorf("-namespace is required")}
	case (cfg.CASecret == "") != (cfg.CAConfigMap == ""):
		return usageError{fmt.Errorf("-tls-secret and -ca-configmap go together")}
	}
	restConfig, err := rest.InClusterConfig()
	if err != nil {
		return fmt.Errorf("finding the API server: %w", err)
	}
	client, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return fmt.Errorf("connecting to the API server: %w", err)
	}
	cfg.Client = client.CoreV1()
	return install.Run(ctx, cfg)
}
