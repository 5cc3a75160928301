// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
	"github.com/lanyard-dev/lanyard/pkg/api"
)

func newInvitations(a *app) *cobra.Command {
	return group(&cobra.Command{Use: "invitation", Aliases: []string{"invitations"}, Short: "Invite people to an organization"},
		createInvitation(a), listInvitations(a), revokeInvitation(a), acceptInvitation(a))
}

func createInvitation(a *app) *cobra.Command {
	var email, principal, role string
	var life time.Duration
	cmd := &cobra.Command{
		Use: "create", Short: "Invite somebody, and print the code, the only time", Args: arguments,
		Long: `Invite somebody to be a member, by e-mail address or by principal, and print a code, the only time: the registry keeps a hash.

Whoever signs in with that address, if the OpenID provider says that it has verified it, is a member from then on; so is whoever signs in as that principal. The code is the other way: send it to the person, who
runs ` + "`lanyard invitation accept`" + `. The registry sends no mail. A code is used once; whoever has that of an address can use it, so treat it like a password.

The invitation ends after --expires-in, when it is revoked, and when you are no owner any more.`,
		Example: `  lanyard invitation create --email alice@acme.example
  lanyard invitation create --email bob@acme.example --role owner --expires-in 48h`,
		PreRunE: func(cmd *cobra.Command, args []string) error {
			switch format, _, _ := strings.Cut(a.flags.output, "="); format {
			case "table", "wide", "name", "etag":
				return misuse("leave -o out, or use json, yaml or jsonpath", "-o %s does not show the code, and nothing else ever will", format)
			}
			return a.checkOutput(cmd, args)
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			body := api.InvitationCreate{Email: nonzero(email), Principal: nonzero(principal), Role: api.Role(role)}
			if life != 0 {
				at := time.Now().Add(life)
				body.ExpiresAt = &at
			}
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			o, err := answer[api.InvitationCreated](client.CreateInvitation(cmd.Context(), org, nil, body))
			if err != nil {
				return err
			}
			return showCode(a, o)
		},
	}
	registerRole(cmd, &role)
	flags := cmd.Flags()
	flags.StringVar(&email, "email", "", "`address` of the person, compared without regard to case")
	flags.StringVar(&principal, "principal", "", "`principal` that may accept, compared byte for byte")
	flags.DurationVar(&life, "expires-in", 0, "`time` until it ends, at most 720h; a week if not given")
	cmd.MarkFlagsMutuallyExclusive("email", "principal")
	cmd.MarkFlagsOneRequired("email", "principal")
	return cmd
}

// showCode prints the code of a new invitation. Beside showToken nothing of this program prints a secret.
func showCode(a *app, o object[api.InvitationCreated]) error {
	var err error
	if a.flags.output == "" {
		err = a.say("%s", o.body.Code)
	} else {
		err = show(a, output.View[api.InvitationCreated]{}, o) // a document, which needs no columns
	}
	if err != nil {
		return located(fmt.Sprintf("showing the code of an invitation that exists (`lanyard invitation revoke %s`)", o.body.ID), err)
	}
	fmt.Fprintf(a.Err, "lanyard: hint: this is the only time that this code is shown; it ends %s\n", output.Time(o.body.ExpiresAt))
	return nil
}

func listInvitations(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List open invitations, never their codes", Args: arguments, RunE: func(cmd *cobra.Command, _ []string) error {
		client, org, err := a.tenant()
		if err != nil {
			return err
		}
		items, err := pages(0, func(size *int, token *string) ([]api.Invitation, *string, error) {
			o, err := answer[api.InvitationList](client.ListInvitations(cmd.Context(), org, &api.ListInvitationsParams{PageSize: size, PageToken: token}))
			return o.body.Items, o.body.NextPageToken, err
		})
		if err != nil {
			return err
		}
		return showList(a, invitationView, items)
	}}
	return cmd
}

func revokeInvitation(a *app) *cobra.Command {
	return removal{
		use: "revoke ID", short: "Revoke an invitation", question: "Revoke invitation %s to %s?", done: "invitation/%s revoked",
		long: "Revoke an invitation, by its id: nobody becomes a member by it any more. Who has accepted it stays one; see `lanyard member remove`.",
		remove: func(ctx context.Context, client *api.Client, org, name string, ifMatch *string) error {
			return done(client.RevokeInvitation(ctx, org, name, &api.RevokeInvitationParams{IfMatch: ifMatch}))
		},
	}.command(a)
}

// maxCode is more than a code has, with a newline.
const maxCode = 256

func acceptInvitation(a *app) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "accept", Short: "Become a member by the code of an invitation", Args: arguments, PreRunE: a.checkOutput,
		Long: "Become a member by the code of an invitation, as who you are signed in as (`lanyard whoami`), and print of which organization. On a terminal the code is asked for without echo.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			var code []byte
			switch {
			case file != "":
				code, err = a.readFile(file, "--code-file", maxCode)
			case a.Terminal == nil:
				return misuse("give it with --code-file, where - is standard input", "the code is missing, and standard input is not a terminal to ask at")
			default:
				code, err = a.Terminal.ReadLine(cmd.Context(), "Code of the invitation: ", true)
			}
			if err != nil {
				return err
			}
			o, err := answer[api.Member](client.AcceptInvitation(cmd.Context(), nil, api.InvitationAcceptance{Code: strings.TrimSpace(string(code))}))
			if err != nil {
				return err
			}
			return changed(a, memberView, o, "is "+string(o.body.Role)+" of "+slugOf(cmd.Context(), client, o.body.OrganizationID))
		},
	}
	cmd.Flags().StringVar(&file, "code-file", "", "`file` with the code, - for standard input")
	refuse(cmd.Flags(), "code", "a code on the command line can be read by every process of this machine and stays in the shell's history", "give it with --code-file, where - is standard input, or at the prompt")
	return cmd
}
