// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"slices"

	"github.com/lanyard-dev/lanyard/pkg/envfile"
	"github.com/lanyard-dev/lanyard/pkg/execfile"
	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// explain tells of each container and item of a plan whose secrets were looked at.
func (p *plan) explain(subject store.Binding) []Explained {
	out := make([]Explained, len(p.request.containers))
	for i, c := range p.request.containers {
		out[i] = Explained{Name: c.Name, Consumer: p.request.consumers[i], Delivery: c.Delivery, Deliveries: p.consumers[i].Deliveries}
		e, of := &out[i], p.consumers[i]
		switch {
		case e.Consumer == (ref.Consumer{}):
		case of.ID == "":
			e.Code, e.Message = wire.CodeNotBound, fmt.Sprintf("consumer %s does not exist, or its record does not verify", e.Consumer)
		case !slices.Contains(of.Bindings, subject):
			e.Code, e.Message = wire.CodeNotBound, fmt.Sprintf("consumer %s has no binding of %s", e.Consumer, bound(subject)+near(of.Bindings, subject))
		case c.Delivery != "" && !allows(of, c.Delivery):
			e.Binding = &subject
			e.Code, e.Message = wire.CodeDeliveryDenied, fmt.Sprintf("consumer %s does not allow the delivery %s", e.Consumer, c.Delivery)
		default:
			e.Binding = &subject
		}
	}
	inline := make([]int, len(out)) // of each container, how many references were told
	for _, it := range p.items {
		c := p.request.containers[it.container]
		var told ExplainedItem
		if it.inline {
			told = it.secret.explain(subject, p.request.inline[it.container][inline[it.container]])
			inline[it.container]++
		} else {
			told = p.explainOwn(it)
		}
		told.Env = it.env
		if told.Code == "" {
			if err := it.carried(c.Delivery); err != nil {
				told.Code, told.Message = wire.CodeUnrepresentable, err.Error()
			}
		}
		out[it.container].Items = append(out[it.container].Items, told)
	}
	return out
}

// explainOwn tells of an ENV of the container's consumer.
func (p *plan) explainOwn(it item) ExplainedItem {
	problem := p.problem(it)
	told := ExplainedItem{Code: problem.Code, Message: problem.Message}
	if it.secret != nil {
		it.secret.describe(&told)
	}
	return told
}

// explain tells of a secret that is referred to inline.
func (s *secret) explain(subject store.Binding, r ref.Secret) ExplainedItem {
	told := ExplainedItem{Inline: true}
	switch {
	case s.meta.ID == "":
		told.Code, told.Message = wire.CodeNotGranted, fmt.Sprintf("secret %s does not exist, was deleted, or its record does not verify", r.Path())
	case !slices.Contains(s.meta.Grants, subject):
		told.Code, told.Message = wire.CodeNotGranted, fmt.Sprintf("secret %s has no grant for %s", r.Path(), bound(subject)+near(s.meta.Grants, subject))
	default:
		told.Grant, told.Code, told.Message = &subject, s.code, s.message
	}
	s.describe(&told)
	return told
}

func (s *secret) describe(told *ExplainedItem) {
	told.Storage, told.Secret, told.Version, told.Pinned, told.Provider, told.Audience = s.meta.Storage, s.meta.Name, s.version, s.pinned != 0, s.provider, s.audience
}

// carried reports why the delivery cannot hand over the value of an item, as far as that is known without it.
func (it item) carried(d wire.Delivery) error {
	switch s := it.secret; {
	case it.plain != nil:
		return carries(d, it.env, it.plain.Reveal())
	case s == nil:
	case d == wire.DeliveryEnvfile && s.described.NoEnvfile != "":
		return fmt.Errorf("ENV %s: %w: %s", it.env, envfile.ErrUnrepresentable, s.described.NoEnvfile)
	case (d == wire.DeliveryExec || d == wire.DeliveryDirect) && s.described.NoExec != "":
		return fmt.Errorf("ENV %s: %w: %s", it.env, execfile.ErrUnrepresentable, s.described.NoExec)
	}
	return nil
}

// refusal is what [Resolver.Resolve] would answer: what the rules refuse, in their order, or else the items that have no value.
func (p *plan) refusal(containers []Explained, refused ...*Refusal) *wire.Problem {
	for _, r := range refused {
		if r != nil {
			return &r.Problem
		}
	}
	problem := &wire.Problem{Code: wire.CodeUnresolved, Message: unresolvedMessage}
	for _, c := range containers {
		for _, it := range c.Items {
			if it.Code != "" {
				problem.Items = append(problem.Items, wire.ItemProblem{Container: c.Name, Env: it.Env, Secret: it.Secret, Provider: it.Provider, Code: it.Code, Message: it.Message})
			}
		}
	}
	if len(problem.Items) == 0 {
		return nil
	}
	return problem
}

// granted tells of the secrets that the subject may refer to inline.
func (e *Explainer) granted(view Records, q Question) (items []ExplainedItem, more bool, err error) {
	for meta := range view.SecretsOf(q.OrgID) {
		if !slices.Contains(meta.Grants, q.Subject) {
			continue
		}
		if len(items) == maxExplained {
			return items, true, nil
		}
		s := &secret{orgID: q.OrgID, id: meta.ID, meta: meta}
		if err := e.look(view, s); err != nil {
			return nil, false, err
		}
		items = append(items, s.explain(q.Subject, ref.Secret{Org: q.Org, Name: meta.Name}))
	}
	return items, false, nil
}

func bound(b store.Binding) string {
	return fmt.Sprintf("service account %s of namespace %s, cluster %s", b.ServiceAccount, b.Namespace, b.Cluster)
}

// near names a binding that differs from the one wanted in one of its three parts: that is where a mistake shows.
func near(bindings []store.Binding, want store.Binding) string {
	for _, b := range bindings {
		same := 0
		for _, part := range [][2]string{{b.Cluster, want.Cluster}, {b.Namespace, want.Namespace}, {b.ServiceAccount, want.ServiceAccount}} {
			if part[0] == part[1] {
				same++
			}
		}
		if same == 2 {
			return fmt.Sprintf("; it has one of %s", bound(b))
		}
	}
	return ""
}
