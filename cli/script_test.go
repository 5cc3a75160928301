// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lanyard-dev/lanyard/cli"
	"github.com/lanyard-dev/lanyard/internal/logtest"
	"github.com/lanyard-dev/lanyard/registry"
	"github.com/lanyard-dev/lanyard/registry/authn/oidc/oidctest"
	"github.com/lanyard-dev/lanyard/registry/envelope/keydir"
	"github.com/lanyard-dev/lanyard/registry/install"
	"github.com/lanyard-dev/lanyard/registry/provider/vault/vaulttest"
)

// transcript names the file to which every lanyard of a script appends what it prints, so that all of it can be searched for the canary.
const transcript = "LANYARD_TEST_TRANSCRIPT"

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lanyard": lanyard, "kubectl-lanyard": lanyard, "kubectl_complete-lanyard": lanyard})
}

// lanyard is cmd/lanyard with a transcript.
func lanyard() {
	f, err := os.OpenFile(os.Getenv(transcript), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	os.Exit(int(cli.Run(context.Background(), cli.Invocation{
		Args: os.Args, Getenv: os.Getenv, Environ: os.Environ(), Exec: syscall.Exec, ConfigDir: os.Getenv("XDG_CONFIG_HOME"),
		In: os.Stdin, Out: io.MultiWriter(os.Stdout, f), Err: io.MultiWriter(os.Stderr, f), Terminal: cli.NewTerminal(os.Stdin, os.Stderr),
	})))
}

// TestScripts runs every script against one registry, each in an organization of its own. What they print, the registry's log and its audit stream must not
// hold the canary, whatever the scripts did with it, and no API token or code but those that [minting] saw being made, each where it was made and nowhere else.
func TestScripts(t *testing.T) {
	vault := vaulttest.New(t)
	r := startRegistry(t, vault.Address())
	vault.Put("kv/prod/db", `{"password": "`+r.canary+`"}`)
	vault.Put("kv/prod/bytes", `{"pem": "a\u0000`+r.canary+`"}`)
	provider, err := json.Marshal(map[string]any{"address": vault.Address(), "ca_bundle": vault.CABundle(), "auth": map[string]string{"method": "approle", "role_id": "r"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for what, have := range map[string]string{"log": r.log.String(), "audit stream": r.audit.String()} {
			for _, secret := range r.canaries() {
				if strings.Contains(have, secret) {
					t.Errorf("a canary stands in the registry's %s", what)
				}
			}
			if tokenText.MatchString(have) {
				t.Errorf("an API token stands in the registry's %s", what)
			}
		}
	})
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireUniqueNames: true, UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			name := strings.ToLower(filepath.Base(env.WorkDir))
			org := "t-" + strings.Trim(strings.TrimPrefix(name, "script-"), "-")
			said := filepath.Join(t.TempDir(), "transcript")
			env.Vars = append(env.Vars, "SERVER=http://"+r.address, "LANYARD_SERVER=http://"+r.address, "LANYARD_TOKEN="+r.token, "LANYARD_ORG="+org, "ORG="+org,
				"XDG_CONFIG_HOME="+filepath.Join(env.WorkDir, "config"), "HOME="+env.WorkDir, "CANARY="+r.canary, "ISSUER="+r.forge.Issuer, "CANARY64="+base64.StdEncoding.EncodeToString([]byte(r.canary)), transcript+"="+said,
				"GORACE=atexit_sleep_ms=0") // else the race detector lets every command sleep a second before it exits
			made := new([]string)
			env.Values[mintedTokens] = made
			env.Defer(func() {
				text, err := os.ReadFile(said)
				if err != nil {
					env.T().Fatal(err)
				}
				for _, secret := range r.canaries() {
					if bytes.Contains(text, []byte(secret)) {
						t.Errorf("%s printed the canary", name)
					}
				}
				var printed []string
				for _, token := range tokenText.FindAll(text, -1) {
					printed = append(printed, string(token))
				}
				if !slices.Equal(printed, *made) {
					t.Errorf("%s printed API tokens %d times, of which `mints` allows %d, once each", name, len(printed), len(*made))
				}
			})
			if err := os.WriteFile(filepath.Join(env.WorkDir, "vault.json"), provider, 0o600); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(env.WorkDir, "id.token"), []byte(r.idToken+"\n"), 0o600); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(env.WorkDir, "canary.txt"), []byte(r.canary+"\n"), 0o600)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits, "mints": minting("token", "create"), "invites": minting("invitation", "create")},
	})
}

// exits runs lanyard and demands an exit code: exits 3 secret get nothing
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code argument...")
	}
	err := ts.Exec("lanyard", args[1:]...)
	have := "0"
	if err != nil {
		have = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if have != args[0] {
		ts.Fatalf("exit code %s, want %s", have, args[0])
	}
}

// tokenText is what an API token, the code of an invitation and the bearer of a federation look like, as docs/api.md and docs/federation.md have it. The bootstrap token has another form, and is a canary of its own.
var tokenText = regexp.MustCompile(`lyd_(?:inv_|fed_)?[0-9a-f-]{36}_[A-Za-z0-9_-]{43}_[0-9A-Za-z]{6}`)

// mintedTokens is the key of the tokens that a script may have printed: *[]string, in the order in which they were made.
const mintedTokens = "minted tokens"

// minting returns a command that runs a command of lanyard and demands that standard output holds one token or code and standard error none: mints ci --role owner. These are the only commands
// that may print one.
func minting(command ...string) func(ts *testscript.TestScript, neg bool, args []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < 1 {
			ts.Fatalf("usage: mints name flag..., invites flag...")
		}
		ts.Check(ts.Exec("lanyard", slices.Concat(command, args)...))
		have := tokenText.FindAllString(ts.ReadFile("stdout"), -1)
		if len(have) != 1 || tokenText.MatchString(ts.ReadFile("stderr")) {
			ts.Fatalf("%d tokens on standard output, want 1, and none on standard error", len(have))
		}
		made := ts.Value(mintedTokens).(*[]string)
		*made = append(*made, have[0])
	}
}

type testRegistry struct {
	address, token, canary string
	forge                  *oidctest.Liar // whose ID tokens it knows
	idToken                string         // of a job of acme/app
	log, audit             logtest.Buffer
}

// canaries are what must not be printed: the value of the scripts, as it is and as it travels, and the token.
func (r *testRegistry) canaries() []string {
	return []string{r.canary, base64.StdEncoding.EncodeToString([]byte(r.canary)), r.token, r.idToken}
}

// startRegistry runs the registry that cmd/lanyard-registry runs, with an etcd inside, until the test ends. It trusts the Vault.
func startRegistry(t *testing.T, vault string) *testRegistry {
	t.Helper()
	dir := t.TempDir()
	r := &testRegistry{token: install.NewBootstrapToken(), canary: "canary-" + rand.Text(), forge: oidctest.StartLiar(t)}
	now := time.Now()
	r.idToken = r.forge.Sign(map[string]any{
		"iss": r.forge.Issuer, "aud": "https://lanyard.example", "sub": "repo:acme/app:ref:refs/heads/main", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	tokenFile, keys := filepath.Join(dir, "token"), filepath.Join(dir, "keys")
	if err := os.WriteFile(tokenFile, []byte(r.token), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := keydir.Create(keys); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	started, done := make(chan registry.Addresses, 1), make(chan error, 1)
	go func() {
		done <- registry.Run(ctx, registry.Config{
			DataDir: filepath.Join(dir, "data"), KeyDir: keys, BootstrapTokenFile: tokenFile, NoCluster: true, LogLevel: slog.LevelDebug, LogOut: &r.log, AuditOut: &r.audit,
			Providers:  registry.ProviderPolicy{AllowCIDRs: []string{"127.0.0.0/8"}, TrustedAddresses: []string{vault}, PodAudiences: []string{"vault"}, TokenAudience: "vault"},
			Federation: registry.Federation{Issuers: []string{"https://forge.example", r.forge.Issuer}, CAFile: r.forge.CAFile},
			APIAddress: "127.0.0.1:0", WorkloadAddress: "127.0.0.1:0", MetricsAddress: "127.0.0.1:0",
			Started: func(a registry.Addresses) { started <- a },
		})
	}()
	select {
	case addresses := <-started:
		r.address = addresses.API
	case err := <-done:
		t.Fatalf("the registry ended: %v\n%s", err, r.log.String())
	}
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the registry ended: %v", err)
		}
	})
	return r
}
