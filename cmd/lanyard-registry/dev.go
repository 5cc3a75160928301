// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/lanyard-dev/lanyard/registry"
	"github.com/lanyard-dev/lanyard/registry/envelope/keydir"
	"github.com/lanyard-dev/lanyard/registry/install"
)

// dev runs a registry on loopback with its own key, token and data, which it keeps for the next time.
func dev(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	config := registry.Config{LogOut: stderr, LogLevel: slog.LevelWarn, NoCluster: true, APIAddress: "127.0.0.1:8080", WorkloadAddress: "127.0.0.1:0", MetricsAddress: "127.0.0.1:0"}
	// A `vault server -dev` on this machine is what one tries remote secrets with.
	config.Providers = registry.ProviderPolicy{AllowCIDRs: []string{"127.0.0.0/8", "::1/128"}, AllowHTTP: true}
	flags := flag.NewFlagSet("dev", flag.ContinueOnError)
	dir := flags.String("dir", "", "`directory` of key, token and data; by default lanyard/dev in the user's configuration directory")
	flags.StringVar(&config.APIAddress, "api-address", config.APIAddress, "loopback `address` of the API")
	flags.TextVar(&config.LogLevel, "log-level", config.LogLevel, "debug, info, warn or error")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	if !strings.HasPrefix(config.APIAddress, "127.0.0.1:") && !strings.HasPrefix(config.APIAddress, "[::1]:") && !strings.HasPrefix(config.APIAddress, "localhost:") {
		return usageError{fmt.Errorf("-api-address: %s is not on loopback, and dev serves without TLS; use serve", config.APIAddress)}
	}
	token, err := prepare(&config, *dir)
	if err != nil {
		return err
	}
	config.Started = func(a registry.Addresses) {
		fmt.Fprintf(stdout, `Lanyard registry (development: plain HTTP on loopback, no workload API)

  export LANYARD=http://%s TOKEN=%s

  curl -sS $LANYARD/api/v1/organizations -H "Authorization: Bearer $TOKEN" --json '{"slug": "acme"}'
  curl -sS $LANYARD/api/v1/organizations/acme/secrets -H "Authorization: Bearer $TOKEN" --json '{"name": "first", "value": "s3cret"}'
  curl -sS $LANYARD/api/v1/organizations/acme/secrets -H "Authorization: Bearer $TOKEN"

The API's document is at $LANYARD/openapi.yaml, metrics at http://%s/metrics. Data stay in %s.
Ctrl-C stops it.
`, a.API, token, a.Metrics, filepath.Dir(config.DataDir))
	}
	return registry.Run(ctx, config)
}

// prepare makes the directory, a key and a token, unless they are there.
func prepare(config *registry.Config, dir string) (token string, err error) {
	if dir == "" {
		base, err := os.UserConfigDir()
		if err != nil {
			return "", usageError{fmt.Errorf("-dir is needed: %w", err)}
		}
		dir = filepath.Join(base, "lanyard", "dev")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("creating the development directory: %w", err)
	}
	config.DataDir, config.KeyDir, config.BootstrapTokenFile = filepath.Join(dir, "data"), filepath.Join(dir, "keys"), filepath.Join(dir, "token")
	if err := keydir.Create(config.KeyDir); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("creating a key: %w", err)
	}
	content, err := os.ReadFile(config.BootstrapTokenFile)
	if errors.Is(err, fs.ErrNotExist) {
		content = []byte(install.NewBootstrapToken())
		err = os.WriteFile(config.BootstrapTokenFile, content, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("keeping the bootstrap token: %w", err)
	}
	return string(content), nil
}
