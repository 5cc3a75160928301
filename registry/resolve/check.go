// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"context"
	"strings"

	"github.com/lanyard-dev/lanyard/pkg/envfile"
	"github.com/lanyard-dev/lanyard/pkg/execfile"
	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// Outcome tells what would become of a secret at the start of a pod, or of a read from a provider. It holds nothing of a value.
type Outcome struct {
	Code     wire.Code // why there is no value; empty if there is one
	Reason   string    // narrows the code of a remote secret
	Message  string    // for people
	Provider string    // the name of the provider, if one was involved and found
	// NoEnvfile tells why the envfile delivery cannot carry the value; empty if it can.
	NoEnvfile string
	NoExec    string // the same of the exec delivery
}

// longestName stands for the name of an ENV, which the outcome must not depend on.
var longestName = strings.Repeat("X", ref.MaxEnvName)

// Check does for one secret what [Resolver.Resolve] does, now, and keeps the value to itself: it is wiped before Check returns. Like the start of a pod it asks
// the provider of a remote secret once. The error is one of the store's, or the context's.
func (r *Resolver) Check(ctx context.Context, orgID, secretID string) (Outcome, error) {
	view, err := r.config.View(ctx)
	if err != nil {
		return Outcome{}, err
	}
	s := newSecret(view, orgID, secretID, 0)
	p := &plan{secrets: []*secret{s}}
	defer p.wipe()
	if err := r.open(ctx, Call{}, view, p); err != nil {
		return Outcome{}, err
	}
	if s.code != "" {
		return Outcome{Code: s.code, Reason: s.reason, Message: strings.TrimPrefix(s.message, s.reason+": "), Provider: s.provider}, nil
	}
	var out Outcome
	if err := envfile.Check(longestName, s.value.Reveal()); err != nil {
		_, out.NoEnvfile, _ = strings.Cut(err.Error(), envfile.ErrUnrepresentable.Error()+": ")
	}
	if err := execfile.Check(longestName, s.value.Reveal()); err != nil {
		_, out.NoExec, _ = strings.Cut(err.Error(), execfile.ErrUnrepresentable.Error()+": ")
	}
	return out, nil
}
