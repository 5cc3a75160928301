// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"context"
	"encoding/pem"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/cli"
	"github.com/lanyard-dev/lanyard/registry/api"
	"github.com/lanyard-dev/lanyard/registry/authn/credential"
	"github.com/lanyard-dev/lanyard/registry/authn/issuer"
	"github.com/lanyard-dev/lanyard/registry/authn/oidc"
	"github.com/lanyard-dev/lanyard/registry/authn/oidc/oidctest"
	"github.com/lanyard-dev/lanyard/registry/authn/session"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/signin"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

// peopleRegistry is a registry over TLS at which people sign in, with a real provider. It returns its URL and the file of its CA.
func peopleRegistry(t *testing.T) (address, caFile string, s *store.Store) {
	t.Helper()
	s = storetest.Start(t)
	var handler http.Handler
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	address = "https://" + server.Listener.Addr().String()
	p := oidctest.Start(t, address+signin.CallbackPath)
	provider, err := oidc.New(oidc.Config{
		Issuer: p.Issuer, ClientID: oidctest.ClientID, SecretFile: p.SecretFile, CAFile: p.CAFile, RedirectURL: address + signin.CallbackPath, RetryPause: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := provider.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	sessions := &session.Authenticator{Sessions: s}
	pages, err := signin.New(signin.Config{
		Provider: provider, Issuer: p.Issuer, PublicURL: address, Store: s, Sessions: sessions, Derive: storetest.Ring(t, storetest.Key(t)).Derive, PollInterval: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	if handler, err = api.New(api.Config{Store: s, Authenticator: sessions, Checker: nobody{}, Explainer: &resolve.Explainer{}, Issuers: new(issuer.Issuers), SignIn: pages}); err != nil {
		t.Fatal(err)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	caFile = filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return address, caFile, s
}

// nobody is a checker that is not asked.
type nobody struct{ api.Checker }

// terminal runs command lines of one user.
type terminal struct {
	t    *testing.T
	home string
}

func (u terminal) run(ctx context.Context, err io.Writer, args ...string) (code cli.ExitCode, out string) {
	var b strings.Builder
	code = cli.Run(ctx, cli.Invocation{
		Args: append([]string{"lanyard"}, args...), Getenv: func(string) string { return "" }, ConfigDir: u.home, In: strings.NewReader(""), Out: &b, Err: err,
	})
	return code, b.String()
}

var (
	shownCode   = regexp.MustCompile(`(?m)^  ([0-9A-Z]{4}-[0-9A-Z]{4})$`)
	shownPage   = regexp.MustCompile(`(?m)^  (https://\S+)$`)
	ticketField = regexp.MustCompile(`name="ticket" value="([^"]+)"`)
)

// TestSomebodyLogsInWithABrowser is the whole way: command line, browser, OpenID provider, registry.
func TestSomebodyLogsInWithABrowser(t *testing.T) {
	address, ca, s := peopleRegistry(t)
	user := terminal{t, t.TempDir()}
	login := func(answer string) (cli.ExitCode, string, string) {
		t.Helper()
		read, write := io.Pipe()
		type ended struct {
			code cli.ExitCode
			out  string
		}
		done := make(chan ended, 1)
		go func() {
			code, out := user.run(t.Context(), write, "login", "--web", "--server", address, "--ca-file", ca, "--org", "acme", "--context", "here")
			write.Close()
			done <- ended{code, out}
		}()
		said := make([]byte, 4096)
		n, err := io.ReadAtLeast(read, said, 1)
		if err != nil {
			t.Fatal(err)
		}
		text := string(said[:n])
		page, code := shownPage.FindStringSubmatch(text), shownCode.FindStringSubmatch(text)
		if page == nil || code == nil {
			t.Fatalf("it says:\n%s", text)
		}
		b := oidctest.NewBrowser()
		if _, err := b.SignIn(t.Context(), page[1], "alice"); err != nil {
			t.Fatal(err)
		}
		asked, err := b.Post(t.Context(), address+"/auth/device/code", url.Values{"user_code": {code[1]}})
		if err != nil {
			t.Fatal(err)
		}
		ticket := ticketField.FindStringSubmatch(asked.Body)
		host, err := os.Hostname()
		if err != nil || ticket == nil || !strings.Contains(asked.Body, "<dd>"+html.EscapeString(host)+"</dd>") {
			t.Fatalf("the page says:\n%s", asked.Body)
		}
		if _, err := b.Post(t.Context(), address+"/auth/device/answer", url.Values{"ticket": {ticket[1]}, "answer": {answer}}); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(read)
		if err != nil {
			t.Fatal(err)
		}
		e := <-done
		return e.code, e.out, string(rest)
	}

	code, _, rest := login("refuse")
	if code != cli.Denied || !strings.Contains(rest, "it was refused in the browser") {
		t.Errorf("refused: %d\n%s", code, rest)
	}
	if _, err := os.Stat(filepath.Join(user.home, "lanyard")); err == nil {
		t.Error("something was kept")
	}
	code, out, rest := login("let-in")
	if code != cli.OK || !strings.Contains(out, "as user:https://") || strings.Contains(out+rest, "lyd_cli_") {
		t.Fatalf("let in: %d\n%s\n%s", code, out, rest)
	}
	kept := filepath.Join(user.home, "lanyard", "config.yaml")
	if text, err := os.ReadFile(kept); err != nil || !strings.Contains(string(text), "token: lyd_cli_") {
		t.Errorf("the session is not kept: %v", err)
	}
	if info, err := os.Stat(kept); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is not 0600: %v", err)
	}
	code, out = user.run(t.Context(), io.Discard, "whoami", "-o", "name")
	if code != cli.OK || !strings.HasSuffix(out, "#a-1\n") {
		t.Errorf("whoami: %d %s", code, out)
	}
	principal := strings.TrimSpace(strings.TrimPrefix(out, "principal/"))
	if _, err := s.CreateOrganization(t.Context(), store.Act{Actor: "token:test"}, store.Organization{Slug: "acme"}, principal); err != nil {
		t.Fatal(err)
	}
	if code, out = user.run(t.Context(), io.Discard, "secret", "create", "made-by-a-person", "--generate", "20"); code != cli.OK {
		t.Errorf("as an owner: %d %s", code, out)
	}

	// Another organization has invited the person, and sent the code.
	beta, err := s.CreateOrganization(t.Context(), store.Act{Actor: "token:bootstrap"}, store.Organization{Slug: "beta"})
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	if _, err := s.CreateInvitation(t.Context(), store.Act{Actor: "token:bootstrap"}, beta.ID, store.Invitation{Email: "somebody@acme.example", Role: store.RoleMember}, func(id string) [32]byte {
		text = credential.New("lyd_inv_", id)
		return credential.Sum(text)
	}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(user.home, "code")
	if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out = user.run(t.Context(), io.Discard, "invitation", "accept", "--code-file", file); code != cli.OK || out != "member/"+principal+" is member of beta\n" {
		t.Errorf("accepting: %d %s", code, out)
	}
	if code, _ = user.run(t.Context(), io.Discard, "invitation", "accept", "--code-file", file); code != cli.NotFound {
		t.Errorf("accepting again: %d", code)
	}

	// It is a session among the person's others, and ends like them.
	code, out = user.run(t.Context(), io.Discard, "session", "list", "--no-headers")
	if code != cli.OK || strings.Count(out, "\n") != 3 || !regexp.MustCompile(`(?m)^\S+ +cli +\* `).MatchString(out) { // two browsers and this one
		t.Errorf("sessions:\n%s", out)
	}
	_, out = user.run(t.Context(), io.Discard, "session", "list", "-o", "name")
	names := strings.Fields(out) // the newest first: the oldest is a browser's
	oldest := strings.TrimPrefix(names[len(names)-1], "session/")
	if code, out = user.run(t.Context(), io.Discard, "session", "revoke", oldest); code != cli.OK || !strings.Contains(out, "session/"+oldest+" ended") {
		t.Errorf("revoke: %d %s", code, out)
	}
	if code, _ = user.run(t.Context(), io.Discard, "session", "revoke", oldest); code != cli.NotFound {
		t.Errorf("revoked again: %d", code)
	}
	code, out = user.run(t.Context(), io.Discard, "logout")
	if code != cli.OK || !strings.Contains(out, "context/here forgotten") || !strings.Contains(out, "its session ended") {
		t.Errorf("logout: %d %s", code, out)
	}
	list, err := s.Sessions(t.Context(), principal)
	if err != nil || len(list) != 1 {
		t.Errorf("sessions afterwards: %+v, %v", list, err)
	}
}

func TestALoginThatNobodyFinishesEnds(t *testing.T) {
	begun := `{"device_code": "d", "user_code": "A\u001b[2JBCD-EFGH", "verification_uri": "https://lanyard.example/auth/device", "expires_in": 600}`
	for name, tc := range map[string]struct {
		begin   int
		begun   string
		answers []string // one a poll; the last again and again
		code    cli.ExitCode
		want    string
	}{
		"a registry where nobody signs in": {404, "{}", nil, cli.Failure, "no OpenID provider"},
		"another program":                  {200, "<html>", nil, cli.Failure, "status 200"},
		"refused after a while":            {200, begun, []string{"authorization_pending", "access_denied"}, cli.Denied, "refused in the browser"},
		"too late":                         {200, begun, []string{"expired_token"}, cli.Failure, "before it ended"},
		"too late by its own clock":        {200, strings.Replace(begun, "600", "1", 1), []string{"authorization_pending"}, cli.Failure, "before it ended"},
		"an answer that is none":           {200, begun, []string{"whatever"}, cli.Failure, "status 400"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var polls atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "" {
					t.Error("a token was sent")
				}
				if r.URL.Path == "/auth/device" {
					w.WriteHeader(tc.begin)
					_, _ = io.WriteString(w, tc.begun)
					return
				}
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"error": "`+tc.answers[min(int(polls.Add(1)), len(tc.answers))-1]+`"}`)
			}))
			defer server.Close()
			var said strings.Builder
			code, _ := terminal{t, t.TempDir()}.run(t.Context(), &said, "login", "--web", "--server", server.URL)
			if code != tc.code || !strings.Contains(said.String(), tc.want) || strings.Contains(said.String(), "\x1b") {
				t.Errorf("exit code %d, want %d with %q:\n%q", code, tc.code, tc.want, said.String())
			}
		})
	}
	var said strings.Builder
	if code, _ := (terminal{t, t.TempDir()}).run(t.Context(), &said, "login", "--web", "--server", "http://127.0.0.1:1", "--token-file", "-"); code != cli.Usage {
		t.Errorf("exit code %d: %s", code, said.String())
	}
}
