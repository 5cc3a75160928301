// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
	"github.com/lanyard-dev/lanyard/pkg/api"
)

var sessionView = output.View[api.Session]{
	Kind: "session", Name: func(s api.Session) string { return s.ID },
	Columns: []output.Column[api.Session]{
		{Header: "ID", Cell: func(s api.Session) string { return s.ID }},
		{Header: "KIND", Cell: func(s api.Session) string { return s.Kind }},
		{Header: "CURRENT", Cell: func(s api.Session) string {
			if s.Current {
				return "*"
			}
			return ""
		}},
		{Header: "FROM", Cell: func(s api.Session) string { return text(s.SourceIP) }},
		{Header: "LAST USED", Cell: func(s api.Session) string { return output.Time(s.LastUsedAt) }},
		{Header: "EXPIRES", Cell: func(s api.Session) string { return output.Time(s.ExpiresAt) }},
		{Header: "CLIENT", Wide: true, Cell: func(s api.Session) string { return text(s.Client) }},
	},
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func newSessions(a *app) *cobra.Command {
	return group(&cobra.Command{Use: "session", Aliases: []string{"sessions"}, Short: "Where you are signed in"}, listSessions(a), revokeSession(a))
}

func listSessions(a *app) *cobra.Command {
	var principal string
	cmd := &cobra.Command{
		Use: "list", Short: "List your sessions", Args: arguments,
		Long: "List your sessions, newest first: each browser and command line you signed in with. Programs have none. Administrators of the installation list those of somebody else.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			list := func() (*http.Response, error) { return client.ListSessions(cmd.Context()) }
			if principal != "" {
				list = func() (*http.Response, error) {
					return client.ListSessionsOf(cmd.Context(), &api.ListSessionsOfParams{Principal: principal})
				}
			}
			o, err := answer[api.SessionList](list())
			if err != nil {
				return err
			}
			return showList(a, sessionView, o.body.Items)
		},
	}
	registerPrincipal(cmd, &principal)
	return cmd
}

func registerPrincipal(cmd *cobra.Command, principal *string) {
	cmd.Flags().StringVar(principal, "principal", "", "`principal` whose sessions are meant, instead of yours; for administrators of the installation")
}

func revokeSession(a *app) *cobra.Command {
	var principal string
	cmd := &cobra.Command{
		Use: "revoke ID", Short: "End one of your sessions", Args: arguments,
		Long: "End one of your sessions: every request that begins after the answer is refused. Administrators of the installation end those of somebody else.",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			revoke := func() (*http.Response, error) { return client.RevokeSession(cmd.Context(), args[0]) }
			if principal != "" {
				revoke = func() (*http.Response, error) {
					return client.RevokeSessionOf(cmd.Context(), args[0], &api.RevokeSessionOfParams{Principal: principal})
				}
			}
			if _, err := answer[struct{}](revoke()); err != nil {
				return fmt.Errorf("ending the session: %w", err)
			}
			return a.say("session/%s ended", args[0])
		},
	}
	registerPrincipal(cmd, &principal)
	return cmd
}
