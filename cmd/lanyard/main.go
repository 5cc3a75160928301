// SPDX-License-Identifier: Apache-2.0

// Command lanyard administers a secret registry. docs/cli.md is its reference.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/lanyard-dev/lanyard/cli"
)

//go:generate go test -run ^TestTheReferenceIsUpToDate$ -update .

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	configDir, err := os.UserConfigDir()
	if err != nil {
		configDir = "" // --config says where, for the commands that need it
	}
	code := cli.Run(ctx, cli.Invocation{
		Args: os.Args, Getenv: os.Getenv, Environ: os.Environ(), Exec: syscall.Exec, ConfigDir: configDir,
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Terminal: cli.NewTerminal(os.Stdin, os.Stderr),
	})
	stop()
	os.Exit(int(code))
}
