// SPDX-License-Identifier: Apache-2.0

// Command openid is an OpenID provider for tests and the demo: that of zitadel/oidc, with its login form, over TLS.
//
//	openid -issuer URL -redirect URL -dir DIR NAME...
//
// It knows one client, "lanyard", and the people named, whose subjects are their names. DIR holds tls.crt and tls.key, client-secret, and password, which is
// everybody's. What it remembers ends with it, its signing key too.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

// clientID is the only client's.
const clientID = "lanyard"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "openid: error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("openid", flag.ContinueOnError)
	listen := flags.String("listen", ":8443", "`address` to listen on")
	issuer := flags.String("issuer", "", "`URL` it is reached at")
	redirect := flags.String("redirect", "", "`URL` the client may have browsers sent back to")
	dir := flags.String("dir", "", "`directory` of its files")
	if err := flags.Parse(args); err != nil {
		return err
	}
	secret, err := os.ReadFile(filepath.Join(*dir, "client-secret"))
	if err != nil {
		return fmt.Errorf("reading the client secret: %w", err)
	}
	password, err := os.ReadFile(filepath.Join(*dir, "password"))
	if err != nil {
		return fmt.Errorf("reading the password: %w", err)
	}
	server := http.Server{
		Addr: *listen, Handler: provider(*issuer, *redirect, strings.TrimSpace(string(secret)), newPeople(strings.TrimSpace(string(password)), flags.Args())),
		ReadHeaderTimeout: 10 * time.Second, TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.ListenAndServeTLS(filepath.Join(*dir, "tls.crt"), filepath.Join(*dir, "tls.key")); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// provider is the whole of it: discovery, keys, the endpoints of the code flow, and the form at which people say who they are.
func provider(issuer, redirect, secret string, people people) http.Handler {
	clients := map[string]*storage.Client{clientID: storage.WebClient(clientID, secret, redirect)}
	return exampleop.SetupServer(issuer, storage.NewStorageWithClients(people, clients), slog.New(slog.DiscardHandler), false)
}

// people are those who can sign in: name → what the provider tells of them.
type people map[string]*storage.User

func newPeople(password string, names []string) people {
	all := people{}
	for _, name := range names {
		all[name] = &storage.User{
			ID: name, Username: name, Password: password, FirstName: strings.ToUpper(name[:1]) + name[1:], LastName: "Example", Email: name + "@example.com", EmailVerified: true,
		}
	}
	return all
}

// GetUserByID implements storage.UserStore.
func (p people) GetUserByID(id string) *storage.User { return p[id] }

// GetUserByUsername implements storage.UserStore.
func (p people) GetUserByUsername(name string) *storage.User { return p[name] }

// ExampleClientID implements storage.UserStore. It is the account of a program, which nobody here is.
func (p people) ExampleClientID() string { return "nobody" }
