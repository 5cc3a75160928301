// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/pkg/api"
)

// removal is a command that takes something away from an organization after it was confirmed.
type removal struct {
	use, short, long string
	complete         cobra.CompletionFunc
	question         string // with %s for what the argument names and for the organization
	done             string // the line of result, with %s for what the argument names
	// remove does it, only if ifMatch is the ETag still.
	remove func(ctx context.Context, client *api.Client, org, name string, ifMatch *string) error
}

func (r removal) command(a *app) *cobra.Command {
	var (
		yes  bool
		only condition
	)
	cmd := &cobra.Command{
		Use: r.use, Short: r.short, Long: r.long, Args: arguments, ValidArgsFunction: r.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			if err := a.confirm(cmd.Context(), yes, fmt.Sprintf(r.question, args[0], org)); err != nil {
				return err
			}
			if err := r.remove(cmd.Context(), client, org, args[0], only.header()); err != nil {
				return err
			}
			return a.say(r.done, args[0])
		},
	}
	registerYes(cmd, &yes)
	only.register(cmd)
	return cmd
}

// done is the error of an answer without a body.
func done(resp *http.Response, err error) error {
	_, err = answer[struct{}](resp, err)
	return err
}
