// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
	"github.com/lanyard-dev/lanyard/cli/internal/profile"
	"github.com/lanyard-dev/lanyard/internal/version"
	"github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/pkg/redact"
)

func newLogin(a *app) *cobra.Command {
	var (
		web                     bool
		federation, idTokenFile string
	)
	cmd := &cobra.Command{
		Use: "login", Short: "Keep a registry and a token for it as a context", Args: arguments,
		Long: `Keep a registry, and a token for it, as a context of the configuration file, and make it the current one.

The token comes from --token-file, where - is standard input, from LANYARD_TOKEN or from a prompt without echo. It is tried before it is kept. With --web you sign in
at the registry's page in a browser, on this machine or another one, and type the code that is shown here; what is kept is a session of yours, which ends after a day's
work and which ` + "`lanyard session`" + ` lists and ends. With --federated, which names a federation of the organization, the ID token of this CI job, in --id-token-file or the file LANYARD_ID_TOKEN_FILE names, is
exchanged for a bearer that ends within an hour; an ID token is good for one exchange. The file can be read by its owner only, and is refused if others have permissions on it. --context names the context, the
URL's host otherwise; --ca-file, --server-name and --org are kept with it.`,
		Example: `  lanyard login --web --server https://lanyard.example --org acme
  lanyard login --federated app-main --id-token-file id.token --server https://lanyard.example --org acme
  lanyard login --server https://lanyard.example --ca-file ca.crt --org acme
  kubectl get secret lanyard-bootstrap -n lanyard-system -o jsonpath='{.data.token}' | base64 -d | lanyard login --server https://lanyard.example --token-file -`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := a.loginEndpoint()
			if err != nil {
				return err
			}
			path, file, err := a.loadConfig() // before anybody is troubled for a token that could not be kept
			if err != nil {
				return err
			}
			switch {
			case web:
				e.token, err = a.webToken(cmd.Context(), e)
			case federation != "":
				e.token, err = a.federatedToken(cmd.Context(), e, federation, idTokenFile)
			case idTokenFile != "":
				return misuse("", "--id-token-file needs --federated")
			default:
				e.token, err = a.typedToken(cmd.Context())
			}
			if err != nil {
				return err
			}
			return a.keepLogin(cmd.Context(), e, path, file)
		},
	}
	cmd.Flags().BoolVar(&web, "web", false, "sign in with a browser")
	cmd.Flags().StringVar(&federation, "federated", "", "exchange this CI job's ID token by the `federation` of the organization")
	cmd.Flags().StringVar(&idTokenFile, "id-token-file", "", "`file` with the ID token, - for standard input (LANYARD_ID_TOKEN_FILE)")
	cmd.MarkFlagsMutuallyExclusive("web", "federated")
	return cmd
}

// loginEndpoint is where to log in, as yet without a token. What is known of other contexts does not count.
func (a *app) loginEndpoint() (endpoint, error) {
	e := endpoint{
		server: cmp.Or(a.flags.server, a.Getenv("LANYARD_SERVER")), serverName: cmp.Or(a.flags.serverName, a.Getenv("LANYARD_SERVER_NAME")), timeout: a.flags.timeout,
	}
	if e.server == "" {
		return e, misuse("", "--server is needed")
	}
	if err := checkServer(e.server); err != nil {
		return e, err
	}
	if ca := cmp.Or(a.flags.caFile, a.Getenv("LANYARD_CA_FILE")); ca != "" {
		var err error
		if e.caFile, err = filepath.Abs(ca); err != nil {
			return e, fmt.Errorf("finding the CA file: %w", err)
		}
	}
	return e, nil
}

// typedToken is the token that was given, or else asked for.
func (a *app) typedToken(ctx context.Context) (redact.Value, error) {
	token, err := a.givenToken()
	if err != nil || len(token.Reveal()) > 0 {
		return token, err
	}
	if a.Terminal == nil {
		return token, misuse("give it with --token-file, where - is standard input", "a token is missing, and standard input is not a terminal to ask at")
	}
	text, err := a.Terminal.ReadLine(ctx, "Token: ", true)
	if err != nil {
		return token, err
	}
	return checkToken(text, "the answer")
}

// keepLogin tries a token and keeps it.
func (a *app) keepLogin(ctx context.Context, e endpoint, path string, file profile.File) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	me, err := answer[api.Me](client.GetMe(ctx))
	if err != nil {
		return err
	}
	u, err := url.Parse(e.server)
	if err != nil { // checkServer has parsed it
		return err
	}
	name := cmp.Or(a.flags.context, a.Getenv("LANYARD_CONTEXT"), u.Host)
	if file.Contexts == nil {
		file.Contexts = map[string]profile.Context{}
	}
	file.Contexts[name] = profile.Context{
		Server: e.server, Organization: cmp.Or(a.flags.organization, a.Getenv("LANYARD_ORG")), CAFile: e.caFile, ServerName: e.serverName, Token: string(e.token.Reveal()),
	}
	file.Current = name
	if err := file.Save(path); err != nil {
		return err
	}
	return a.say("logged in to %s as %s; it is context %s of %s", e.server, me.body.Principal, name, path)
}

func newLogout(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "logout", Short: "Forget a context and its token", Args: arguments,
		Long: `Forget the current context, or that of --context, with its token. A session that ` + "`login --web`" + ` began is ended at the registry too, if it can be reached. An API token goes
on being accepted until it ends or ` + "`lanyard token revoke`" + ` revokes it.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, c, err := a.chosen()
			if err != nil {
				return err
			}
			path, file, err := a.loadConfig()
			if err != nil {
				return err
			}
			if _, known := file.Contexts[name]; !known {
				return failed(NotFound, "", errors.New("there is no context to forget"))
			}
			delete(file.Contexts, name)
			if file.Current == name {
				file.Current = ""
			}
			if err := file.Save(path); err != nil {
				return err
			}
			return a.say("context/%s forgotten%s", name, endSession(cmd.Context(), c, a.flags.timeout))
		},
	}
}

// endSession ends the session a context has, and says what became of it. That the registry is away keeps nobody from logging out.
func endSession(ctx context.Context, c profile.Context, timeout time.Duration) string {
	if !strings.HasPrefix(c.Token, sessionPrefix) {
		return ""
	}
	client, err := endpoint{server: c.Server, caFile: c.CAFile, serverName: c.ServerName, token: redact.New([]byte(c.Token)), timeout: timeout}.client()
	if err != nil {
		return "; its session was not ended at the registry, and ends by itself"
	}
	me, err := answer[api.Me](client.GetMe(ctx))
	if err == nil && me.body.Session != nil {
		_, err = answer[struct{}](client.RevokeSession(ctx, me.body.Session.ID))
	}
	switch {
	case codeOf(err) == Denied:
		return "; its session had ended"
	case err != nil:
		return "; its session was not ended at the registry, and ends by itself"
	}
	return "; its session ended"
}

// contextEntry is a context without its token.
type contextEntry struct {
	Name         string `json:"name"`
	Current      bool   `json:"current"`
	Server       string `json:"server"`
	Organization string `json:"organization,omitempty"`
}

var contextView = output.View[contextEntry]{
	Kind: "context", Name: func(c contextEntry) string { return c.Name },
	Columns: []output.Column[contextEntry]{
		{Header: "CURRENT", Cell: func(c contextEntry) string {
			if c.Current {
				return "*"
			}
			return ""
		}},
		{Header: "NAME", Cell: func(c contextEntry) string { return c.Name }},
		{Header: "SERVER", Cell: func(c contextEntry) string { return c.Server }},
		{Header: "ORGANIZATION", Cell: func(c contextEntry) string { return c.Organization }},
	},
}

func newContexts(a *app) *cobra.Command {
	return group(&cobra.Command{Use: "context", Aliases: []string{"contexts"}, Short: "List and switch contexts"},
		&cobra.Command{Use: "list", Short: "List contexts, without their tokens", Args: arguments, RunE: func(*cobra.Command, []string) error {
			_, file, err := a.loadConfig()
			if err != nil {
				return err
			}
			var entries []contextEntry
			for _, name := range slices.Sorted(maps.Keys(file.Contexts)) {
				c := file.Contexts[name]
				entries = append(entries, contextEntry{name, name == file.Current, c.Server, c.Organization})
			}
			return showList(a, contextView, entries)
		}},
		&cobra.Command{Use: "use NAME", Short: "Make a context the current one", Args: arguments, RunE: func(_ *cobra.Command, args []string) error {
			path, file, err := a.loadConfig()
			if err != nil {
				return err
			}
			if _, known := file.Contexts[args[0]]; !known {
				return failed(NotFound, "`lanyard context list` shows those there are", fmt.Errorf("there is no context %q", args[0]))
			}
			file.Current = args[0]
			if err := file.Save(path); err != nil {
				return err
			}
			return a.say("context/%s is current", args[0])
		}})
}

var meView = output.View[api.Me]{
	Kind: "principal", Name: func(m api.Me) string { return m.Principal },
	Columns: []output.Column[api.Me]{
		{Header: "PRINCIPAL", Cell: func(m api.Me) string { return m.Principal }},
		{Header: "ADMIN", Cell: func(m api.Me) string { return fmt.Sprint(m.Admin) }},
		{Header: "MEMBERSHIPS", Cell: membershipText},
	},
}

func membershipText(m api.Me) string {
	texts := make([]string, len(m.Memberships))
	for i, of := range m.Memberships {
		texts[i] = of.Organization + "=" + string(of.Role)
	}
	return strings.Join(texts, ",")
}

func newWhoami(a *app) *cobra.Command {
	return &cobra.Command{Use: "whoami", Short: "Show whose token is used, and of which organizations it is a member", Args: arguments, RunE: func(cmd *cobra.Command, _ []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		me, err := answer[api.Me](client.GetMe(cmd.Context()))
		if err != nil {
			return err
		}
		return show(a, meView, me)
	}}
}

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version of this program", Args: arguments, RunE: func(*cobra.Command, []string) error {
		return a.say("%s", version.String())
	}}
}
