// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"io"

	"github.com/lanyard-dev/lanyard/registry"
)

func serve(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	config := registry.Config{AuditOut: stdout, LogOut: stderr}
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	config.Flags(flags)
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	if err := config.Validate(); err != nil {
		return usageError{err}
	}
	return registry.Run(ctx, config)
}
