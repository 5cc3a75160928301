// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Explainer says what a start would be given and why not, as a [resolve.Explainer]. Nothing it returns holds a part of a value.
type Explainer interface {
	Explain(ctx context.Context, q resolve.Question) (resolve.Explanation, *resolve.Refusal, error)
}

// Explain implements ginapi.StrictServerInterface.
func (s *server) Explain(ctx context.Context, r ginapi.ExplainRequestObject) (ginapi.ExplainResponseObject, error) {
	ctx, _ = begun(ctx)
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	q := resolve.Question{
		OrgID: o.ID, Org: o.Slug, Subject: store.Binding{Cluster: or(r.Body.Cluster, s.cluster), Namespace: r.Body.Namespace, ServiceAccount: r.Body.ServiceAccount},
		Containers: each(or(r.Body.Containers, nil), questionContainer),
	}
	answer, refusal, err := s.explainer.Explain(ctx, q)
	switch {
	case err != nil:
		return nil, err
	case refusal != nil:
		return nil, field("/containers", "question", "%s", refusal.Problem.Message)
	}
	return ginapi.Explain200JSONResponse(explanation(q.Subject, answer)), nil
}

func questionContainer(c contract.QuestionContainer) wire.ContainerRequest {
	return wire.ContainerRequest{
		Name: c.Name, Consumer: or(c.Consumer, ""), Delivery: wire.Delivery(or(c.Delivery, "")), Envs: or(c.Envs, nil),
		Inline: each(or(c.Inline, nil), func(i contract.QuestionInline) wire.InlineEnv { return wire.InlineEnv{Name: i.Name, Secret: i.Secret} }),
	}
}

func explanation(subject store.Binding, e resolve.Explanation) contract.Explanation {
	out := contract.Explanation{
		Cluster: subject.Cluster, Namespace: subject.Namespace, ServiceAccount: subject.ServiceAccount, Ok: e.Refusal == nil, More: e.More,
		Containers: each(e.Containers, explainedContainer), Granted: each(e.Granted, explainedItem),
	}
	if e.Refusal != nil {
		out.Code, out.Message, out.Fix = why(e.Refusal.Code, e.Refusal.Message)
	}
	return out
}

func explainedContainer(e resolve.Explained) contract.ExplainedContainer {
	out := contract.ExplainedContainer{
		Name: optional(e.Name), Binding: allowance(e.Binding), Delivery: optional(contract.Delivery(e.Delivery)),
		Deliveries: each(e.Deliveries, func(d wire.Delivery) contract.Delivery { return contract.Delivery(d) }), Items: each(e.Items, explainedItem),
	}
	if e.Consumer != (ref.Consumer{}) {
		out.Consumer = optional(e.Consumer.String())
	}
	out.Code, out.Message, out.Fix = why(e.Code, e.Message)
	return out
}

func explainedItem(e resolve.ExplainedItem) contract.ExplainedItem {
	out := contract.ExplainedItem{
		Env: optional(e.Env), Inline: optional(e.Inline), Secret: optional(e.Secret), Version: optional(e.Version), Pinned: optional(e.Pinned),
		Provider: optional(e.Provider), ProviderAudience: optional(e.Audience), Grant: allowance(e.Grant), Source: contract.ExplainedSourceNone,
	}
	switch {
	case e.Storage != "":
		out.Source = contract.ExplainedSource(e.Storage)
	case e.Code == "" || e.Code == wire.CodeUnrepresentable:
		out.Source = contract.ExplainedSourcePlain
	}
	out.Code, out.Message, out.Fix = why(e.Code, e.Message)
	return out
}

// why returns a reason with what the catalogue says is to be done; nothing of one that is none.
func why(code wire.Code, message string) (codeText, messageText, fix *string) {
	return optional(string(code)), optional(message), optional(code.Info().Fix)
}

func allowance(b *store.Binding) *contract.Binding {
	if b == nil {
		return nil
	}
	told := binding(*b)
	return &told
}
