// SPDX-License-Identifier: Apache-2.0

// Command images compiles main packages and writes their container images,
// without a container daemon:
//
//	images -version v1.2.3 -out dist/images lanyard-agent=./cmd/lanyard-agent
//
// Each argument is NAME=DIRECTORY. For each it writes OUT/NAME, an OCI layout
// for all architectures, and OUT/NAME-ARCH.tar for each, which `docker load` and
// `ctr images import` read. The image is called PREFIX/NAME:VERSION.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "images: error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var b builder
	flags := flag.NewFlagSet("images", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&b.version, "version", "dev", "`tag` and version label of the images")
	flags.StringVar(&b.out, "out", "dist/images", "`directory` to write to")
	flags.StringVar(&b.prefix, "prefix", "ghcr.io/lanyard-dev", "`repository` the names are below")
	flags.StringVar(&b.linkerFlags, "ldflags", "", "further `flags` for the linker")
	arch := flags.String("arch", "amd64,arm64", "comma-separated `architectures`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	b.architectures = strings.Split(*arch, ",")
	if flags.NArg() == 0 {
		return errors.New("nothing to build; hint: name images as NAME=DIRECTORY")
	}
	for _, arg := range flags.Args() {
		name, dir, ok := strings.Cut(arg, "=")
		if !ok || name == "" || dir == "" {
			return fmt.Errorf("argument %q: want NAME=DIRECTORY", arg)
		}
		if err := b.build(ctx, name, dir, stdout); err != nil {
			return err
		}
	}
	return nil
}
