// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/cli/internal/bundle"
	"github.com/lanyard-dev/lanyard/cli/internal/output"
	"github.com/lanyard-dev/lanyard/pkg/api"
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
what the .env dialects disagree about, such as a quote in an unquoted value. The whole file is read and every name checked before anything is written; each
secret is then a change of its own. Running it again after an interruption with --existing put finishes the work: what has its value already is unchanged.`,
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
			i := importer{client, org, existing}
			plan, err := i.plan(cmd.Context(), items)
			if err != nil {
				return err
			}
			if !dryRun {
				err = i.execute(cmd.Context(), items, plan)
			}
			return showDone(a, importView, plan, err)
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

// importer writes items into one organization.
type importer struct {
	client   *api.Client
	org      string
	existing string
}

// plan tells for every item what is to be done.
func (i importer) plan(ctx context.Context, items []bundle.Item) ([]imported, error) {
	storage := map[string]api.Storage{} // :: name → storage, or empty if it is deleted: the name is taken all the same
	for _, deleted := range []bool{false, true} {
		there, err := pages(0, func(size *int, token *string) ([]api.Secret, *string, error) {
			o, err := answer[api.SecretList](i.client.ListSecrets(ctx, i.org, &api.ListSecretsParams{PageSize: size, PageToken: token, Deleted: &deleted}))
			return o.body.Items, o.body.NextPageToken, err
		})
		if err != nil {
			return nil, err
		}
		for _, s := range there {
			storage[s.Name] = s.Storage
			if deleted {
				storage[s.Name] = ""
			}
		}
	}
	plan := make([]imported, len(items))
	var taken []string
	for n, item := range items {
		have, exists := storage[item.Name]
		plan[n] = imported{Name: item.Name, Action: "create"}
		switch {
		case !exists:
		case i.existing == "skip":
			plan[n].Action = "skip"
		case i.existing == "put" && have == api.StorageLocal:
			plan[n].Action = "put"
		default:
			taken = append(taken, item.Name)
		}
	}
	if len(taken) > 0 {
		hint := "nothing was changed; --existing skip leaves them as they are, --existing put puts new versions"
		if i.existing == "put" {
			hint = "nothing was changed; a remote secret has no value here, and a deleted one has to be undeleted first"
		}
		return nil, failed(Conflict, hint, fmt.Errorf("secrets that exist: %s", strings.Join(taken, ", ")))
	}
	return plan, nil
}

// execute does what was planned, in order, and stops at the first refusal; the plan tells how far it came.
func (i importer) execute(ctx context.Context, items []bundle.Item, plan []imported) error {
	for n, item := range items {
		entry := &plan[n]
		switch entry.Action {
		case "skip":
			entry.Action = "skipped"
		case "create":
			o, err := answer[api.Secret](i.client.CreateSecret(ctx, i.org, nil, api.SecretCreate{Name: item.Name, ValueBase64: encoded(item.Value)}))
			if err != nil {
				return err
			}
			entry.Action = "created"
			if o.body.ActiveVersion != nil {
				entry.Version = *o.body.ActiveVersion
			}
		case "put":
			before, err := answer[api.Secret](i.client.GetSecret(ctx, i.org, item.Name, nil))
			if err != nil {
				return err
			}
			o, err := answer[api.Version](i.client.PutVersion(ctx, i.org, before.body.ID, nil, api.VersionCreate{ValueBase64: encoded(item.Value)}))
			if err != nil {
				return err
			}
			entry.Version, entry.Action = o.body.Number, "updated"
			if before.body.ActiveVersion != nil && *before.body.ActiveVersion == o.body.Number {
				entry.Action = "unchanged"
			}
		}
	}
	return nil
}
