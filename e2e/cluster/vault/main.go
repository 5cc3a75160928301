// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		slog.Error("vault stopped", "err", err)
		os.Exit(1)
	}
}

// run serves a fresh Vault until ctx is done. It writes one line to stdout
// once requests are answered:
//
//	ready address=http://192.0.2.2:8200 root_token=hvs.…
func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("vault", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:8200", "`address` to serve plain HTTP on; port 0 picks a free one")
	rootToken := flags.String("root-token", "", "root `token`; empty lets Vault choose")
	tokenFile := flags.String("root-token-file", "", "`file` to write the root token to once ready, mode 0600")
	logLevel := flags.String("log-level", "warn", "Vault's own log `level`")
	if err := flags.Parse(args); err != nil {
		return err
	}

	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	defer listener.Close()

	core, token, err := open(ctx, *rootToken, *logLevel, "http://"+listener.Addr().String())
	if err != nil {
		return err
	}
	defer core.Shutdown()

	server := &http.Server{Handler: handler(core), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer server.Close()

	if err := mountKV(ctx, "http://"+listener.Addr().String(), token); err != nil {
		return err
	}
	if *tokenFile != "" {
		if err := publish(*tokenFile, token); err != nil {
			return fmt.Errorf("writing the root token: %w", err)
		}
	}
	fmt.Fprintf(stdout, "ready address=http://%s root_token=%s\n", listener.Addr(), token)

	select {
	case <-ctx.Done():
		return nil
	case err := <-served:
		return fmt.Errorf("serving: %w", err)
	}
}

// publish writes a file that is either absent or complete: whoever waits for it
// takes it for the sign that Vault is ready.
func publish(path, content string) error {
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
