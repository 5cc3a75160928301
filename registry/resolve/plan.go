// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/envfile"
	"github.com/lanyard-dev/lanyard/pkg/execfile"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// plan is what a request asks for: items in its order, which point to the secrets behind them. A secret asked for twice is opened once, so that two
// containers of one pod never see different versions of it.
type plan struct {
	request   Request
	consumers []store.Consumer // of each container; zero if it has none
	items     []item
	secrets   []*secret
	end       func(delivered bool) // ends the fetches; nil if there were none
}

// item is one ENV of one container.
type item struct {
	container int
	env       string
	orgID     string        // of the consumer, or of a secret referred to inline
	inline    bool          // the container refers to the secret itself, without its consumer
	plain     *redact.Value // a copy of a value that is not secret; nil with secret
	secret    *secret       // nil with plain, or if the ENV is missing
}

// secret is one version of a secret, and what became of opening it.
type secret struct {
	orgID, id string
	pinned    uint64 // 0 means the active one
	meta      store.Secret
	version   uint64        // that was opened; 0 of a remote one
	described store.Version // that was looked at and not opened
	value     redact.Value
	leased    bool      // the value was made for this request alone
	lastGood  time.Time // when a value was read that is not fresh; else zero
	code      wire.Code // why there is no value; empty if there is one
	message   string
	provider  string
	audience  string // of the pod's token for the provider, for explanations
	reason    string // narrows the code of a remote secret
	err       error  // the cause, for the log
}

func (s *secret) fail(code wire.Code, message string, err error) {
	s.code, s.message, s.err = code, message, err
}

// lookUp finds what each ENV refers to, without opening anything. inline are the secrets of the inline references of each container.
func lookUp(view Finder, req Request, consumers []store.Consumer, inline [][]store.Secret) *plan {
	p := &plan{request: req, consumers: consumers}
	known := make(map[secretKey]*secret)
	for i, c := range req.containers {
		for _, name := range c.Envs {
			it := item{container: i, env: name, orgID: consumers[i].OrgID}
			switch env, found := find(consumers[i].Envs, name); {
			case !found:
			case env.Value != nil:
				value := redact.New([]byte(*env.Value))
				it.plain = &value
			default:
				it.secret = p.secret(known, secretKey{consumers[i].OrgID, env.SecretID, env.Version}, func() *secret {
					return newSecret(view, consumers[i].OrgID, env.SecretID, env.Version)
				})
			}
			p.items = append(p.items, it)
		}
		for j, env := range c.Inline {
			meta, pinned := inline[i][j], req.inline[i][j].Version
			p.items = append(p.items, item{container: i, env: env.Name, orgID: meta.OrgID, inline: true,
				secret: p.secret(known, secretKey{meta.OrgID, meta.ID, pinned}, func() *secret {
					return &secret{orgID: meta.OrgID, id: meta.ID, pinned: pinned, meta: meta}
				})})
		}
	}
	return p
}

// secretKey is one version of a secret; pinned is 0 for the active one.
type secretKey struct {
	orgID, id string
	pinned    uint64
}

// secret returns the secret of the plan with this key, made by find if there is none yet.
func (p *plan) secret(known map[secretKey]*secret, k secretKey, find func() *secret) *secret {
	s, ok := known[k]
	if !ok {
		s = find()
		p.secrets, known[k] = append(p.secrets, s), s
	}
	return s
}

// orgs are the organizations the plan takes something from, each once, in the order of the containers.
func (p *plan) orgs() []string {
	var orgs []string
	add := func(id string) {
		if id != "" && !slices.Contains(orgs, id) {
			orgs = append(orgs, id)
		}
	}
	next := 0 // items are in the order of the containers
	for i := range p.request.containers {
		add(p.consumers[i].OrgID)
		for ; next < len(p.items) && p.items[next].container == i; next++ {
			add(p.items[next].orgID)
		}
	}
	return orgs
}

func find(envs []store.Env, name string) (store.Env, bool) {
	for _, e := range envs {
		if e.Name == name {
			return e, true
		}
	}
	return store.Env{}, false
}

func newSecret(view Finder, orgID, id string, pinned uint64) *secret {
	s := &secret{orgID: orgID, id: id, pinned: pinned}
	meta, err := view.FindSecret(orgID, id)
	switch {
	case err == nil:
		s.meta = meta
	case errors.Is(err, store.ErrNotFound):
		s.fail(wire.CodeSecretMissing, "the secret does not exist or was deleted", nil)
	default:
		s.fail(wire.CodeIntegrity, "the stored record does not verify", fmt.Errorf("reading secret %s: %w", id, err))
	}
	return s
}

// openLocal opens the version a local secret resolves to. It returns only errors that concern every secret: a key that is missing, the store itself.
func (s *secret) openLocal(view View) error {
	number, ok := s.choose()
	if !ok {
		return nil
	}
	value, err := view.OpenVersion(s.orgID, s.id, number)
	if err != nil {
		return s.failVersion(number, err)
	}
	s.value, s.version = value, number
	return nil
}

// choose returns the number of the version a local secret resolves to, and notes it if there is none.
func (s *secret) choose() (number uint64, ok bool) {
	if number = cmp.Or(s.pinned, s.meta.ActiveVersion); number == 0 {
		s.fail(wire.CodeVersionMissing, "the secret has no active version", nil)
	}
	return number, number != 0
}

// failVersion notes why a version cannot be given. It returns the errors that concern every secret.
func (s *secret) failVersion(number uint64, err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		s.fail(wire.CodeVersionMissing, fmt.Sprintf("version %d of the secret does not exist or was destroyed", number), nil)
	case errors.Is(err, store.ErrIntegrity):
		s.fail(wire.CodeIntegrity, "the stored record does not verify", fmt.Errorf("opening version %d of secret %s: %w", number, s.id, err))
	default:
		return fmt.Errorf("opening version %d of secret %s: %w", number, s.id, err)
	}
	return nil
}

// assemble returns the response, or the problem of every item that has no value or one that its delivery cannot carry.
func (p *plan) assemble(requestID string) (*wire.ResolveResponse, []wire.ItemProblem) {
	response := &wire.ResolveResponse{RequestID: requestID, Containers: make([]wire.ContainerValues, len(p.request.containers))}
	for i, c := range p.request.containers {
		response.Containers[i] = wire.ContainerValues{Name: c.Name, Envs: make([]wire.Env, 0, len(c.Envs)+len(c.Inline))}
	}
	var problems []wire.ItemProblem
	for _, it := range p.items {
		problem := p.problem(it)
		env := wire.Env{Name: it.env}
		switch {
		case it.plain != nil:
			env.Value = *it.plain
		case it.secret != nil:
			env.Value, env.Secret, env.Version = it.secret.value, it.secret.meta.Name, it.secret.version
			env.LastKnownGood = it.secret.lastGood
		}
		if problem.Code == "" {
			if err := carries(p.request.containers[it.container].Delivery, it.env, env.Value.Reveal()); err != nil {
				problem.Code, problem.Message = wire.CodeUnrepresentable, err.Error()
			}
		}
		if problem.Code != "" {
			problems = append(problems, problem)
			continue
		}
		envs := &response.Containers[it.container].Envs
		*envs = append(*envs, env)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return response, nil
}

// problem returns why an item has no value, or one without a code if it has.
func (p *plan) problem(it item) wire.ItemProblem {
	problem := wire.ItemProblem{Container: p.request.containers[it.container].Name, Env: it.env}
	switch s := it.secret; {
	case it.plain != nil:
	case s == nil:
		problem.Code, problem.Message = wire.CodeEnvMissing, fmt.Sprintf("consumer %s has no such ENV", p.request.consumers[it.container])
	default:
		problem.Secret, problem.Provider, problem.Code, problem.Message = s.meta.Name, s.provider, s.code, s.message
	}
	return problem
}

// carries reports why the delivery cannot hand the value over unchanged. The file delivery carries any bytes.
func carries(delivery wire.Delivery, name string, value []byte) error {
	switch delivery {
	case wire.DeliveryEnvfile:
		return envfile.Check(name, value)
	case wire.DeliveryExec, wire.DeliveryDirect:
		return execfile.Check(name, value)
	}
	return nil
}

// wipe destroys every value of the plan, and gives back what was made for it alone.
func (p *plan) wipe() {
	for _, s := range p.secrets {
		s.value.Wipe()
	}
	if p.end != nil {
		p.end(false)
		p.end = nil
	}
}

// cause joins what failed, for the log.
func (p *plan) cause() error {
	var errs []error
	for _, s := range p.secrets {
		errs = append(errs, s.err)
	}
	return errors.Join(errs...)
}

// hand leaves the end of the fetches to the receipt; without one, the values count as delivered.
func (p *plan) hand(receipt *Receipt) {
	switch {
	case p.end == nil:
	case receipt == nil:
		p.end(true)
	default:
		receipt.end = p.end
	}
}
