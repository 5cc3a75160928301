// SPDX-License-Identifier: Apache-2.0

// Command lanyard-registry is the secret registry.
//
//	lanyard-registry serve     the server, as the chart runs it
//	lanyard-registry dev       the server on loopback with everything it needs, for trying the API
//	lanyard-registry init      create the Secrets of a new installation, once (the chart's hook Job)
//	lanyard-registry version
//
// Each takes -help. Exit codes: 0 done, 1 the work failed, 2 the command line is wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	_ "golang.org/x/crypto/x509roots/fallback" // the public authorities, by which clouds and issuers of ID tokens are checked: the image of the registry has no file of them

	"github.com/lanyard-dev/lanyard/internal/version"
)

var commands = map[string]func(ctx context.Context, args []string, stdout, stderr io.Writer) error{
	"serve":   serve,
	"dev":     dev,
	"init":    initialize,
	"version": printVersion,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 || commands[args[0]] == nil {
		fmt.Fprintln(stderr, "usage: lanyard-registry serve|dev|init|version [flags]")
		return 2
	}
	var usage usageError
	switch err := commands[args[0]](ctx, args[1:], stdout, stderr); {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "lanyard-registry %s: %v\n", args[0], err)
		return 2
	default:
		fmt.Fprintf(stderr, "lanyard-registry %s: %v\n", args[0], err)
		return 1
	}
}

func printVersion(_ context.Context, _ []string, stdout, _ io.Writer) error {
	_, err := fmt.Fprintln(stdout, version.String())
	return err
}
