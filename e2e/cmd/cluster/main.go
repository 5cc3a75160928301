// SPDX-License-Identifier: Apache-2.0

// Command cluster starts and removes the disposable Kubernetes by hand:
//
//	cluster up             start one that stays until `cluster down`
//	cluster down           remove it, in whatever condition it is
//	cluster load ARCHIVE…  import images from docker archives
//	cluster kubectl-env    print shell assignments that make kubectl use it
//	cluster vault          start a Vault beside it and print its address and token
//	cluster build          only compile what is not in the cache yet
//
// Flag -name, before the command, tells clusters apart; it defaults to "demo".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/lanyard-dev/lanyard/e2e/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "cluster: error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	config := cluster.Config{Detached: true, Progress: stderr}
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&config.Name, "name", cluster.DemoName, "`name` of the cluster")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch command := flags.Arg(0); command {
	case "up":
		return up(ctx, config, stdout)
	case "down":
		if err := cluster.Remove(ctx, config); err != nil {
			return err
		}
		_, err := fmt.Fprintf(stdout, "no cluster named %q is left\n", config.Name)
		return err
	case "build":
		return cluster.Build(ctx, config)
	case "load", "kubectl-env", "vault":
		c, err := cluster.Open(ctx, config)
		if err != nil {
			return fmt.Errorf("%w; hint: `cluster up` starts one", err)
		}
		return use(ctx, c, command, flags.Args()[1:], stdout)
	default:
		return fmt.Errorf("command %q: want up, down, load, kubectl-env, vault or build", command)
	}
}

func up(ctx context.Context, config cluster.Config, stdout io.Writer) error {
	start := time.Now()
	c, err := cluster.Start(ctx, config)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "node %s (%s) ready after %s; kubeconfig %s\n",
		c.NodeName(), c.NodeIP(), time.Since(start).Round(100*time.Millisecond), c.Kubeconfig())
	return err
}

func use(ctx context.Context, c *cluster.Cluster, command string, args []string, stdout io.Writer) error {
	switch command {
	case "load":
		return c.Load(ctx, args...)
	case "vault":
		vault, err := c.StartVault(ctx)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(stdout, "export VAULT_ADDR=%s VAULT_TOKEN=%s\n", vault.Address, vault.RootToken)
		return err
	default:
		_, err := fmt.Fprintf(stdout, "export KUBECONFIG=%s PATH=%s:$PATH\n", c.Kubeconfig(), filepath.Dir(c.KubectlPath()))
		return err
	}
}
