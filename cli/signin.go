// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"

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
	return &cobra.Command{
		Use: "list", Short: "List your sessions", Args: arguments,
		Long: "List your sessions, newest first: each browser and command line you signed in with. Programs have none.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			o, err := answer[api.SessionList](client.ListSessions(cmd.Context()))
			if err != nil {
				return err
			}
			return showList(a, sessionView, o.body.Items)
		},
	}
}

func revokeSession(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "End one of your sessions", Args: arguments,
		Long: "End one of your sessions: every request that begins after the answer is refused.",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			if _, err := answer[struct{}](client.RevokeSession(cmd.Context(), args[0])); err != nil {
				return fmt.Errorf("ending the session: %w", err)
			}
			return a.say("session/%s ended", args[0])
		},
	}
}
