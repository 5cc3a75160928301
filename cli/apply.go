// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
	"github.com/lanyard-dev/lanyard/pkg/api"
)

// applied is what became of one document.
type applied struct {
	Kind         string `json:"kind"`
	Organization string `json:"organization,omitempty"`
	Name         string `json:"name"`
	Action       string `json:"action"` // created, updated or unchanged; with --dry-run create or update
}

var appliedView = output.View[applied]{
	Kind: "object", Name: func(o applied) string { return o.Name },
	Columns: []output.Column[applied]{
		{Header: "KIND", Cell: func(o applied) string { return o.Kind }},
		{Header: "NAME", Cell: func(o applied) string {
			if o.Organization != "" {
				return o.Organization + "/" + o.Name
			}
			return o.Name
		}},
		{Header: "ACTION", Cell: func(o applied) string { return o.Action }},
	},
}

func newApply(a *app) *cobra.Command {
	var (
		file   string
		dryRun bool
	)
	cmd := &cobra.Command{
		Use: "apply", Short: "Make organizations, secrets and consumers what a file says", Args: arguments, PreRunE: a.checkOutput,
		Long: `Make organizations, secrets and consumers what the YAML or JSON documents of a file say. Applying it again changes nothing.

Fields that are absent stay as they are; envs, bindings, deliveries and grants are replaced as a whole; nothing is deleted. Organizations come first, then secrets, then
consumers, wherever they stand. The documents hold no values, so that they can be kept under version control: value_file names a file with one, beside the
document, and without it a new local secret has no version yet. All documents and value files are read before anything is sent.

    kind: Secret
    name: stripe-api-key
    labels: {team: payments}
    value_file: stripe.key
    trim_newline: true
    ---
    kind: Consumer
    organization: acme          # that of --org otherwise
    name: billing
    consumer_kind: service
    envs:
    - {name: STRIPE_API_KEY, secret: stripe-api-key}
    - {name: MODE, value: live}
    bindings:
    - {namespace: billing, service_account: api}

An organization has slug and display_name. Field names are those of the API, but for consumer_kind, value_file and trim_newline.`,
		Example: `  lanyard apply -f billing.yaml --dry-run`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			documents, err := a.readDocuments(file)
			if err != nil {
				return err
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			var done []applied
			for _, d := range documents {
				action, applyErr := d.apply(cmd.Context(), client, dryRun)
				if applyErr != nil {
					kind, _, name := d.identity()
					err = located(kind+" "+name, applyErr)
					break
				}
				kind, organization, name := d.identity()
				done = append(done, applied{kind, organization, name, action})
			}
			return showDone(a, appliedView, done, err)
		},
	}
	cmd.Flags().StringVarP(&file, "filename", "f", "", "`file` with the documents, - for standard input")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only tell what would be created or updated")
	if err := cmd.MarkFlagRequired("filename"); err != nil { // it stands above
		panic(err)
	}
	return cmd
}

// document is an object as a file wants it.
type document interface {
	identity() (kind, organization, name string)
	// apply creates or updates the object and returns which it was.
	apply(ctx context.Context, client *api.Client, dryRun bool) (action string, err error)
}

// upsert creates an object that is not there, and else updates it. An update that changes nothing keeps the ETag.
func upsert[T any](read func() (object[T], error), create func() error, update func(current object[T]) (object[T], error), dryRun bool) (string, error) {
	current, err := read()
	switch {
	case codeOf(err) == NotFound && dryRun:
		return "create", nil
	case codeOf(err) == NotFound:
		return "created", create()
	case err != nil:
		return "", err
	case dryRun:
		return "update", nil
	}
	next, err := update(current)
	if err == nil && next.etag != "" && next.etag == current.etag {
		return "unchanged", nil
	}
	return "updated", err
}

func (d *organizationDocument) apply(ctx context.Context, client *api.Client, dryRun bool) (string, error) {
	return upsert(func() (object[api.Organization], error) {
		return answer[api.Organization](client.GetOrganization(ctx, d.Slug, nil))
	}, func() error {
		_, err := answer[api.Organization](client.CreateOrganization(ctx, nil, api.OrganizationCreate{Slug: d.Slug, DisplayName: d.DisplayName}))
		return err
	}, func(current object[api.Organization]) (object[api.Organization], error) {
		return answer[api.Organization](client.UpdateOrganization(ctx, current.body.ID, nil, api.OrganizationUpdate{DisplayName: d.DisplayName}))
	}, dryRun)
}

func (d *secretDocument) apply(ctx context.Context, client *api.Client, dryRun bool) (string, error) {
	var value *string
	if d.value != nil {
		value = encoded(*d.value)
	}
	return upsert(func() (object[api.Secret], error) {
		return answer[api.Secret](client.GetSecret(ctx, d.Organization, d.Name, nil))
	}, func() error {
		_, err := answer[api.Secret](client.CreateSecret(ctx, d.Organization, nil, api.SecretCreate{
			Name: d.Name, Description: d.Description, Labels: d.Labels, ExpiresAt: d.ExpiresAt, ValueBase64: value,
			ProviderID: d.ProviderID, RemotePath: d.RemotePath, RemoteKey: d.RemoteKey, RemoteVersion: d.RemoteVersion, Grants: d.Grants,
		}))
		return err
	}, func(current object[api.Secret]) (object[api.Secret], error) {
		return answer[api.Secret](client.UpdateSecret(ctx, d.Organization, current.body.ID, nil, api.SecretUpdate{
			Description: d.Description, Labels: d.Labels, ExpiresAt: orNull(d.ExpiresAt), ValueBase64: value,
			ProviderID: d.ProviderID, RemotePath: d.RemotePath, RemoteKey: d.RemoteKey, RemoteVersion: d.RemoteVersion, Grants: d.Grants,
		}))
	}, dryRun)
}

func (d *consumerDocument) apply(ctx context.Context, client *api.Client, dryRun bool) (string, error) {
	return upsert(func() (object[api.Consumer], error) {
		return answer[api.Consumer](client.GetConsumer(ctx, d.Organization, d.Name, nil))
	}, func() error {
		_, err := answer[api.Consumer](client.CreateConsumer(ctx, d.Organization, nil, api.ConsumerCreate{
			Name: d.Name, Kind: d.ConsumerKind, Description: d.Description, Labels: d.Labels, Envs: d.Envs, Bindings: d.Bindings, Deliveries: d.Deliveries,
		}))
		return err
	}, func(current object[api.Consumer]) (object[api.Consumer], error) {
		return answer[api.Consumer](client.UpdateConsumer(ctx, d.Organization, current.body.ID, nil, api.ConsumerUpdate{
			Kind: d.ConsumerKind, Description: d.Description, Labels: d.Labels, Envs: d.Envs, Bindings: d.Bindings, Deliveries: d.Deliveries,
		}))
	}, dryRun)
}
