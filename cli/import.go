// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
	"github.com/lanyard-dev/lanyard/internal/bundle"
	"github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// imported is what became of one item.
type imported struct {
	Name    string `json:"name"`
	Action  string `json:"action"` // create, put, skip or, once it was done, created, updated, unchanged, skipped
	Version uint64 `json:"version,omitempty"`
}

var importView = output.View[imported]{
	Kind: "secret", Name: func(i imported) string { return i.Name },
	Columns: []output.Column[imported]{
		{Header: "NAME", Cell: func(i imported) string { return i.Name }},
		{Header: "ACTION", Cell: func(i imported) string { return i.Action }},
		{Header: "VERSION", Cell: func(i imported) string { return output.Text(nonzero(i.Version)) }},
	},
}

func importSecrets(a *app) *cobra.Command {
	var (
		format, prefix, existing string
		dryRun                   bool
	)
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Import secrets from a .env file, a JSON object or a Kubernetes Secret", Args: arguments, PreRunE: a.checkOutput,
		Long: `Import secrets from a .env file, a JSON object of strings or Kubernetes Secret manifests. FILE may be - for standard input.

Values arrive to the byte or the file is refused: $NAME is never expanded, numbers are not converted, a name that stands there twice is an error, and so is
what the .env dialects disagree about, such as a quote in an unquoted value. The whole file is read and every name checked before anything is written. Up to
40 secrets of 1 MiB together are then written at once or not at all; a larger file takes several such steps. Running it again after an interruption with
--existing put finishes the work: what has its value already is unchanged.`,
		Example: `  lanyard secret import .env --dry-run
  kubectl get secret billing -o yaml | lanyard secret import - --prefix billing.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains([]string{"fail", "skip", "put"}, existing) {
				return misuse("", "--existing must be fail, skip or put")
			}
			if !slices.Contains(bundle.Formats, bundle.Format(format)) {
				return misuse("", "--format must be one of %v", bundle.Formats)
			}
			content, err := a.readFile(args[0], "FILE", bundle.MaxBytes)
			if err != nil {
				return err
			}
			items, err := bundle.Parse(content, bundle.Format(format))
			if err != nil {
				return failed(Failure, "", fmt.Errorf("the file %w", err))
			}
			if err := a.checkItems(items, prefix); err != nil {
				return err
			}
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			i := importer{client, org, api.SecretImport{
				ContentBase64: encoded(redact.New(content)), Format: nonzero(api.ImportFormat(format)), Prefix: nonzero(prefix), Existing: nonzero(api.Existing(existing)),
			}}
			plan, err := i.plan(cmd.Context())
			if err == nil && !dryRun {
				plan, err = i.execute(cmd.Context())
			}
			if err != nil {
				return err
			}
			return showList(a, importView, plan)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&format, "format", "auto", "`format`: auto, dotenv, json or kubernetes")
	flags.StringVar(&prefix, "prefix", "", "`text` to put in front of every name")
	flags.StringVar(&existing, "existing", "fail", "what to do if a secret exists: `fail` before anything is written, skip it, or put a new version")
	flags.BoolVar(&dryRun, "dry-run", false, "only tell what would be done")
	return cmd
}

// checkItems puts the prefix in front of every name and refuses what the registry would refuse, before anything is sent.
func (a *app) checkItems(items []bundle.Item, prefix string) error {
	var problems []string
	for i := range items {
		item := &items[i]
		item.Name = prefix + item.Name
		if err := ref.CheckName(item.Name); err != nil {
			problems = append(problems, err.Error())
		}
		if len(item.Value.Reveal()) > wire.MaxValueBytes {
			problems = append(problems, fmt.Sprintf("the value of %s has more than %d bytes", item.Name, wire.MaxValueBytes))
		}
		if item.Note != "" {
			fmt.Fprintf(a.Err, "lanyard: warning: %s: %s\n", item.Name, item.Note)
		}
	}
	if len(problems) > 0 {
		return failed(Failure, "nothing was changed; --prefix can mend names", errors.New(strings.Join(problems, "; ")))
	}
	return nil
}

// importer has the registry import a file.
type importer struct {
	client *api.Client
	org    string
	body   api.SecretImport
}

// plan tells for every item what is to be done, or which ones keep the file from being imported.
func (i importer) plan(ctx context.Context) ([]imported, error) {
	results, err := i.send(ctx, true)
	if err != nil {
		return nil, err
	}
	plan := make([]imported, len(results))
	var taken []string
	for n, r := range results {
		plan[n] = imported{Name: r.Name, Action: planned[r.Action]}
		if r.Action == api.BatchActionRefused {
			taken = append(taken, r.Name)
		}
	}
	if len(taken) > 0 {
		hint := "nothing was changed; --existing skip leaves them as they are, --existing put puts new versions"
		if *i.body.Existing == api.ExistingPut {
			hint = "nothing was changed; a remote secret has no value here, and a deleted one has to be undeleted first"
		}
		return nil, failed(Conflict, hint, fmt.Errorf("secrets that exist: %s", strings.Join(taken, ", ")))
	}
	return plan, nil
}

var planned = map[api.BatchAction]string{api.BatchActionCreated: "create", api.BatchActionUpdated: "put", api.BatchActionSkipped: "skip"}

// execute imports the file.
func (i importer) execute(ctx context.Context) ([]imported, error) {
	results, err := i.send(ctx, false)
	if err != nil {
		return nil, err
	}
	done := make([]imported, len(results))
	for n, r := range results {
		done[n] = imported{Name: r.Name, Action: string(r.Action)}
		if r.Version != nil {
			done[n].Version = *r.Version
		}
	}
	return done, nil
}

func (i importer) send(ctx context.Context, dryRun bool) ([]api.BatchItem, error) {
	i.body.DryRun = &dryRun
	o, err := answer[api.BatchResult](i.client.ImportSecrets(ctx, i.org, nil, i.body))
	return o.body.Items, err
}
