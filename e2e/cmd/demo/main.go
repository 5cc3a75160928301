// SPDX-License-Identifier: Apache-2.0

// Command demo shows what Lanyard does, on a real Kubernetes that it starts and installs Lanyard into:
//
//	demo up      start, install, show; what it made stays for looking around
//	demo down    remove all of it
//
// It ends with the line "demo: ok" and exit code 0, or says what is not as it should be.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lanyard-dev/lanyard/e2e/cluster"
	"github.com/lanyard-dev/lanyard/e2e/installation"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "demo: error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	config := cluster.Config{Name: cluster.DemoName, Detached: true, Progress: stdout}
	switch {
	case len(args) == 1 && args[0] == "up":
		return up(ctx, config, stdout)
	case len(args) == 1 && args[0] == "down":
		return cluster.Remove(ctx, config)
	default:
		return fmt.Errorf("usage: demo up|down")
	}
}

func up(ctx context.Context, config cluster.Config, stdout io.Writer) error {
	begin := time.Now()
	if err := cluster.Remove(ctx, config); err != nil {
		return err
	}
	install := installation.Config{People: []string{ownerName, memberName}, Progress: stdout}
	images, stop := prepare(ctx, config, install)
	defer stop()
	c, err := cluster.Start(ctx, config)
	if err != nil {
		return fmt.Errorf("%w\nhint: without root, or on macOS, `make dev` serves the registry alone; docs/install.md tells how to use a cluster of your own or kind", err)
	}
	vault, err := c.StartVault(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Vault at %s\n", vault.Address)
	if install.Images, err = images(); err != nil {
		return err
	}
	install.Values = installation.AllowVault(vault.Address)
	lanyard, err := installation.Install(ctx, c, install)
	if err != nil {
		return err
	}
	show := &tour{Installation: lanyard, vault: vault, out: stdout}
	if err := show.run(ctx); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nLook around:  export KUBECONFIG=%s\nRemove it:    make demo-down\n\ndemo: ok (%s)\n", c.Kubeconfig(), time.Since(begin).Round(time.Second))
	return nil
}

// prepare builds, beside a cluster that starts, what comes after it: a cluster is waited for more than it works. What both need either builds, once. The caller calls
// stop, which waits for what is being built to be given up.
func prepare(ctx context.Context, config cluster.Config, install installation.Config) (images func() (installation.Images, error), stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var built installation.Images
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err = cluster.Build(ctx, config); err == nil {
			built, err = installation.BuildImages(ctx, install)
		}
	}()
	return func() (installation.Images, error) { <-done; return built, err }, func() { cancel(); <-done }
}
