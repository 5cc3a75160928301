// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/pkg/api"
)

func newMembers(a *app) *cobra.Command {
	return group(&cobra.Command{Use: "member", Aliases: []string{"members"}, Short: "Manage members: who may administer an organization"},
		listMembers(a), addMember(a), setRole(a), removeMember(a))
}

var roles = []cobra.Completion{string(api.RoleMember), string(api.RoleOwner)}

func registerRole(cmd *cobra.Command, role *string) {
	cmd.Flags().StringVar(role, "role", string(api.RoleMember), "`role`: member, which reads metadata, or owner")
	if err := cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(roles, cobra.ShellCompDirectiveNoFileComp)); err != nil { // it stands above
		panic(err)
	}
}

func listMembers(a *app) *cobra.Command {
	var f filter
	cmd := &cobra.Command{Use: "list", Short: "List members", Args: arguments, RunE: func(cmd *cobra.Command, _ []string) error {
		client, org, err := a.tenant()
		if err != nil {
			return err
		}
		items, err := members(cmd.Context(), client, org, f)
		if err != nil {
			return err
		}
		return showList(a, memberView, items)
	}}
	f.register(cmd, false)
	return cmd
}

func members(ctx context.Context, client *api.Client, org string, f filter) ([]api.Member, error) {
	return pages(f.limit, func(size *int, token *string) ([]api.Member, *string, error) {
		o, err := answer[api.MemberList](client.ListMembers(ctx, org, &api.ListMembersParams{PageSize: size, PageToken: token, Q: nonzero(f.search)}))
		return o.body.Items, o.body.NextPageToken, err
	})
}

// memberRef is how the API addresses a member: by principal, or by id if that has a slash, which would end a segment of the path.
func memberRef(ctx context.Context, client *api.Client, org, principal string) (string, error) {
	if !strings.Contains(principal, "/") {
		return principal, nil
	}
	items, err := members(ctx, client, org, filter{search: principal})
	if err != nil {
		return "", err
	}
	for _, m := range items {
		if m.Principal == principal {
			return m.ID, nil
		}
	}
	return "", failed(NotFound, "`lanyard member list` shows those there are", fmt.Errorf("%s is no member of %s", principal, org))
}

func addMember(a *app) *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use: "add PRINCIPAL", Short: "Make somebody a member", Args: arguments, PreRunE: a.checkOutput,
		Long: `Make somebody a member.

A principal is user:<issuer>#<subject> or serviceaccount:<namespace>/<name>, compared byte for byte. A member reads metadata; an owner also writes, manages members and
tokens, and reads the audit log. Nobody reads values.`,
		Example: `  lanyard member add user:alice@acme.example --role owner`,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			o, err := answer[api.Member](client.AddMember(cmd.Context(), org, nil, api.MemberCreate{Principal: args[0], Role: api.Role(role)}))
			if err != nil {
				return err
			}
			return changed(a, memberView, o, "added as "+string(o.body.Role))
		},
	}
	registerRole(cmd, &role)
	return cmd
}

const forceHelp = "also the last owner; for administrators of the installation"

func setRole(a *app) *cobra.Command {
	var (
		force bool
		only  condition
	)
	cmd := &cobra.Command{
		Use: "set-role PRINCIPAL ROLE", Short: "Give a member another role", Args: arguments, PreRunE: a.checkOutput,
		Long: "Give a member another role: member or owner. It counts from the member's next request on. The last owner stays one.",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return roles, cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeMembers(cmd, args, typed)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			member, err := memberRef(cmd.Context(), client, org, args[0])
			if err != nil {
				return err
			}
			params := &api.UpdateMemberParams{IfMatch: only.header(), Force: nonzero(force)}
			o, err := answer[api.Member](client.UpdateMember(cmd.Context(), org, member, params, api.MemberUpdate{Role: api.Role(args[1])}))
			if err != nil {
				return err
			}
			return changed(a, memberView, o, "is "+string(o.body.Role))
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, forceHelp)
	only.register(cmd)
	return cmd
}

func removeMember(a *app) *cobra.Command {
	var force bool
	cmd := removal{
		use: "remove PRINCIPAL", short: "Remove a member", complete: a.completeMembers, question: "Remove %s from %s?", done: "member/%s removed",
		long: "Remove a member. It counts from the member's next request on; tokens the member made go on. The last owner stays.",
		remove: func(ctx context.Context, client *api.Client, org, principal string, ifMatch *string) error {
			member, err := memberRef(ctx, client, org, principal)
			if err != nil {
				return err
			}
			return done(client.RemoveMember(ctx, org, member, &api.RemoveMemberParams{IfMatch: ifMatch, Force: nonzero(force)}))
		},
	}.command(a)
	cmd.Flags().BoolVar(&force, "force", false, forceHelp)
	return cmd
}
