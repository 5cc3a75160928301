// SPDX-License-Identifier: Apache-2.0

// Package oidctest runs OpenID providers for tests: a real one, and one that lies.
package oidctest

import (
	"encoding/pem"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

// Client of every provider.
const (
	ClientID     = "lanyard"
	ClientSecret = "client-secret-canary-51c7"
)

// Password is everybody's.
const Password = "correct horse"

// Users are the people the real provider knows, by user name. Mallory claims an address that is not verified to be hers.
var Users = map[string]*storage.User{
	"alice":   {ID: "a-1", Username: "alice", Password: Password, FirstName: "Alice", LastName: "Ames", Email: "alice@acme.example", EmailVerified: true},
	"bob":     {ID: "b-2", Username: "bob", Password: Password, FirstName: "Bob", LastName: "Baker", Email: "bob@acme.example", EmailVerified: true},
	"mallory": {ID: "m-3", Username: "mallory", Password: Password, FirstName: "Mallory", LastName: "Moss", Email: "alice@acme.example"},
}

type users struct{}

func (users) GetUserByUsername(name string) *storage.User { return Users[name] }
func (users) ExampleClientID() string                     { return "service" }
func (users) GetUserByID(id string) *storage.User {
	for _, u := range Users {
		if u.ID == id {
			return u
		}
	}
	return nil
}

// Provider is an OpenID provider that runs until the test ends.
type Provider struct {
	Issuer     string
	SecretFile string
	CAFile     string
	Server     *httptest.Server
}

// Start runs the provider of zitadel/oidc, which is certified by the OpenID Foundation: its authorization, token, key and user info endpoints and its login form, over TLS.
// redirectURL is the client's.
func Start(t testing.TB, redirectURL string) *Provider {
	t.Helper()
	p := unstarted(t)
	client := storage.WebClient(ClientID, ClientSecret, redirectURL)
	store := storage.NewStorageWithClients(users{}, map[string]*storage.Client{ClientID: client})
	p.Server.Config.Handler = exampleop.SetupServer(p.Issuer, store, slog.New(slog.DiscardHandler), false)
	p.start(t)
	return p
}

// unstarted returns a provider that has an address already, as its issuer is part of what it says.
func unstarted(t testing.TB) *Provider {
	server := httptest.NewUnstartedServer(nil)
	dir := t.TempDir()
	p := &Provider{Issuer: "https://" + server.Listener.Addr().String(), SecretFile: filepath.Join(dir, "secret"), CAFile: filepath.Join(dir, "ca.crt"), Server: server}
	if err := os.WriteFile(p.SecretFile, []byte(ClientSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *Provider) start(t testing.TB) {
	p.Server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	p.Server.StartTLS()
	t.Cleanup(p.Server.Close)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Server.Certificate().Raw})
	if err := os.WriteFile(p.CAFile, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
}
