// SPDX-License-Identifier: Apache-2.0

// Command lanyard-injector is the admission webhook that makes opted-in pods run the init agent. See -help for its flags.
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

	_ "golang.org/x/crypto/x509roots/fallback" // the public authorities, by which image registries are checked: the image of the injector has no file of them

	"github.com/lanyard-dev/lanyard/injector"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stderr io.Writer) int {
	cfg, err := injector.ParseFlags(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "lanyard-injector: error: %v\nlanyard-injector: hint: see lanyard-injector -help\n", err)
		return exitUsage
	}
	if err := injector.Run(ctx, cfg); err != nil {
		_, _ = fmt.Fprintf(stderr, "lanyard-injector: error: %v\n", err)
		return exitFailed
	}
	return exitOK
}
