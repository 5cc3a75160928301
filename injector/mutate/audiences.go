// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"fmt"
	"slices"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// audiences are those of the providers' tokens that the container needs to send along, sorted.
func (p *planner) audiences(t *target) []string {
	audiences := slices.Clone(t.names.ProviderAudiences)
	for _, env := range t.inline {
		if secret, ok := p.names.Secret(env.secret.Path()); ok && secret.ProviderAudience != "" {
			audiences = append(audiences, secret.ProviderAudience)
		}
	}
	slices.Sort(audiences)
	return slices.Compact(audiences)
}

// podAudiences are those of all containers.
func (p *planner) podAudiences() []string {
	var all []string
	for i := range p.targets {
		all = append(all, p.audiences(&p.targets[i])...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// checkAudiences refuses a pod that would need a token which the operator does not let pods have. The registry's word is not enough: whoever gets a token of the pod can act as
// it wherever the audience is accepted.
func (p *planner) checkAudiences() {
	for i := range p.targets {
		t := &p.targets[i]
		for _, audience := range p.audiences(t) {
			if !slices.Contains(p.cfg.ProviderAudiences, audience) {
				p.deny(ReasonAudienceDenied, t.field, fmt.Sprintf("container %q needs a token for audience %q", clip(t.c.Name), clip(audience)))
			}
			if len(p.problems) > maxProblems {
				return
			}
		}
	}
	if n := len(p.podAudiences()); n > wire.MaxProviderTokens && !p.denied() {
		p.deny(ReasonTooMany, "spec.containers", fmt.Sprintf("the pod would need tokens for %d providers' audiences; the limit is %d", n, wire.MaxProviderTokens))
	}
}

// tokenSources are the tokens of the pod: the one for the registry, then those for providers.
func (p *planner) tokenSources() []projection {
	token := func(audience, path string) projection {
		return projection{ServiceAccountToken: &tokenProjection{Audience: audience, ExpirationSeconds: int64(podspec.TokenLifetime.Seconds()), Path: path}}
	}
	sources := []projection{token(p.cfg.Audience, podspec.TokenPath)}
	for _, audience := range p.podAudiences() {
		sources = append(sources, token(audience, podspec.ProviderTokenPath(audience)))
	}
	return sources
}

// sameTokens reports whether two lists of sources are the same tokens.
func sameTokens(have, want []projection) bool {
	return slices.EqualFunc(have, want, func(h, w projection) bool {
		return h.ServiceAccountToken != nil && *h.ServiceAccountToken == *w.ServiceAccountToken
	})
}

// onlyTokens reports whether a volume projects service account tokens, and nothing else.
func (v *volume) onlyTokens() bool {
	return v.Projected != nil && len(v.Projected.Sources) > 0 &&
		!slices.ContainsFunc(v.Projected.Sources, func(s projection) bool { return s.ServiceAccountToken == nil })
}
