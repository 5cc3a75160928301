// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/authn"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Records are a [Finder] that can be looked through. There is no way to a value in it.
type Records interface {
	Finder
	// FindVersion does not find destroyed versions.
	FindVersion(orgID, secretID string, number uint64) (store.Version, error)
	FindProvider(orgID, id string) (store.Provider, error)
	ConsumersOf(orgID string) iter.Seq[store.Consumer]
	SecretsOf(orgID string) iter.Seq[store.Secret]
}

// Explainer says what the start of a pod would receive, and why not, by the rules of [Resolver.Resolve]. It reads records only: it opens no value, asks no provider and is not
// audited, as nothing is released. What only a value or a provider can tell, it does not know: [Resolver.Check] does.
type Explainer struct {
	// Records runs the store's read barrier, as Config.View.
	Records func(context.Context) (Records, error)
	// Reference reports why a remote secret can never be read from its provider, as far as that can be told without asking it; found is what looking the provider up failed with. Its
	// errors are [*FetchError]. If nil, remote secrets are unavailable.
	Reference func(p store.Provider, found error, remote store.Remote) error
	// Audience returns the audience of a token of its own that a pod has to send along for a provider; empty if it needs none. If nil, no pod needs any.
	Audience func(p store.Provider) string
}

// Question is whose start is asked about. All of it lies in one organization.
type Question struct {
	OrgID, Org string // id and slug
	Subject    store.Binding
	// Containers are what a pod asks for; one without ENVs and inline references asks for all ENVs of its consumer, and a delivery may be left open. None asks for everything the
	// organization lets the subject have.
	Containers []wire.ContainerRequest
}

// maxExplained bounds the consumers, and the granted secrets, of an answer to a question without containers.
const maxExplained = 100

// Explanation is the answer. It holds names and versions, nothing of a value.
type Explanation struct {
	// Refusal is what the start would be told if it asked for just this now, as far as that is known; nil if nothing speaks against it.
	Refusal    *wire.Problem
	Containers []Explained
	// Granted are the secrets that the subject may refer to inline, of a question without containers.
	Granted []ExplainedItem
	More    bool // there are more consumers or secrets than an answer holds
}

// Explained is one container, or of a question without containers one consumer.
type Explained struct {
	Name       string
	Consumer   ref.Consumer    // zero if it has none
	Binding    *store.Binding  // that lets the subject claim it; nil if none does
	Delivery   wire.Delivery   // that was asked about
	Deliveries []wire.Delivery // that the consumer allows; empty means all
	Code       wire.Code       // why the container receives nothing; empty if it is not for a reason of its own
	Message    string
	Items      []ExplainedItem
}

// ExplainedItem is one ENV, or a secret that was granted.
type ExplainedItem struct {
	Env      string
	Inline   bool           // the container refers to the secret itself
	Grant    *store.Binding // that lets it
	Storage  store.Storage  // empty of a plain value, and of a secret that is not there
	Secret   string         // its name; empty as Storage
	Version  uint64         // of a local secret, that would be given
	Pinned   bool           // it stays at its version whatever is active
	Provider string
	Audience string    // of a token of its own that the pod has to send along for the provider
	Code     wire.Code // why there is no value; empty if nothing speaks against it
	Message  string
}

// Explain answers a question. A refusal is about the question itself; the error is the store's or the context's.
func (e *Explainer) Explain(ctx context.Context, q Question) (Explanation, *Refusal, error) {
	req, refusal := parse(wire.ResolveRequest{Protocol: wire.Protocol, Containers: q.Containers}, true)
	if len(q.Containers) > 0 && refusal != nil {
		return Explanation{}, refusal, nil
	}
	view, err := e.Records(ctx)
	if err != nil {
		return Explanation{}, nil, err
	}
	var out Explanation
	if len(q.Containers) == 0 {
		req, out.More = everything(view, q)
	}
	if refusal := q.within(req); refusal != nil {
		return Explanation{}, refusal, nil
	}
	subject := authn.Principal{Cluster: q.Subject.Cluster, Namespace: q.Subject.Namespace, ServiceAccount: q.Subject.ServiceAccount}
	consumers, unclaimed := claim(view, subject, req.consumers)
	secrets, ungranted := granted(view, subject, req.inline)
	req = req.withAll(consumers)
	p := lookUp(view, req, consumers, secrets)
	for _, s := range p.secrets {
		if err := e.look(view, s); err != nil {
			return Explanation{}, nil, err
		}
	}
	out.Containers = p.explain(q.Subject)
	out.Refusal = p.refusal(out.Containers, unclaimed, delivered(req, consumers), ungranted)
	if len(q.Containers) == 0 {
		var more bool
		out.Granted, more, err = e.granted(view, q)
		out.More = out.More || more
	}
	return out, nil, err
}

// everything asks for each consumer that binds the subject.
func everything(view Records, q Question) (req Request, more bool) {
	for c := range view.ConsumersOf(q.OrgID) {
		if !slices.Contains(c.Bindings, q.Subject) {
			continue
		}
		if len(req.containers) == maxExplained {
			return req, true
		}
		r := ref.Consumer{Org: q.Org, Name: c.Name}
		req.containers, req.consumers = append(req.containers, wire.ContainerRequest{Consumer: r.String()}), append(req.consumers, r)
	}
	return req, false
}

// within refuses a question about another organization: its members are asked elsewhere whether somebody may ask.
func (q Question) within(req Request) *Refusal {
	for i, c := range req.containers {
		foreign := req.consumers[i] != (ref.Consumer{}) && req.consumers[i].Org != q.Org
		for j := range c.Inline {
			foreign = foreign || req.inline[i][j].Org != q.Org
		}
		if foreign {
			return invalid("container %s: it refers to another organization than %s", c.Name, q.Org)
		}
	}
	return nil
}

// withAll returns the request in which containers that name no ENV ask for all of their consumer.
func (r Request) withAll(consumers []store.Consumer) Request {
	r.containers = slices.Clone(r.containers) // the question keeps its own
	for i := range r.containers {
		if c := &r.containers[i]; len(c.Envs) == 0 && len(c.Inline) == 0 {
			for _, env := range consumers[i].Envs {
				c.Envs = append(c.Envs, env.Name)
			}
		}
	}
	return r
}

// delivered is [allowed] of the containers whose delivery is known.
func delivered(req Request, consumers []store.Consumer) *Refusal {
	consumers = slices.Clone(consumers)
	for i, c := range req.containers {
		if c.Delivery == "" {
			consumers[i].Deliveries = nil
		}
	}
	return allowed(req, consumers)
}

// look does with a secret what [Resolver] does when it opens it, but opens nothing.
func (e *Explainer) look(view Records, s *secret) error {
	switch {
	case s.code != "":
		return nil
	case s.meta.Storage == store.StorageRemote:
		e.lookRemote(view, s)
		return nil
	}
	number, ok := s.choose()
	if !ok {
		return nil
	}
	version, err := view.FindVersion(s.orgID, s.id, number)
	if err != nil {
		return s.failVersion(number, err)
	}
	s.version, s.described = number, version
	return nil
}

func (e *Explainer) lookRemote(view Records, s *secret) {
	if e.Reference == nil {
		s.fail(wire.CodeProviderUnavailable, noProviders, nil)
		return
	}
	if !s.isReadable() {
		return
	}
	p, err := view.FindProvider(s.orgID, s.meta.Remote.ProviderID)
	s.provider = p.Name
	if failed, ok := errors.AsType[*FetchError](e.Reference(p, err, *s.meta.Remote)); ok {
		s.failRemote(failed)
	}
	if err == nil && e.Audience != nil {
		s.audience = e.Audience(p)
	}
}
