// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn/claimrule"
)

// Limits of federations.
const (
	// MaxFederations is how many an organization may have: each names an issuer whose keys replicas keep.
	MaxFederations = 64
	// DefaultFederatedLife is how long a bearer lives whose federation says nothing else; MaxFederatedLife the most there is.
	DefaultFederatedLife = 15 * time.Minute
	MinFederatedLife     = time.Minute
	MaxFederatedLife     = time.Hour

	maxIssuer   = 512
	maxAudience = 255
)

// Federation is a trust rule of an organization: jobs to whom an issuer gives an ID token with this audience and these claims may exchange it for a bearer with a role in the
// organization. It never changes; deleting it ends what was given out by it.
type Federation struct {
	Meta
	OrgID    string            `json:"org_id"`
	Name     string            `json:"name"`   // see ref.CheckName; unique in the organization
	Issuer   string            `json:"issuer"` // exactly as the issuer writes itself
	Audience string            `json:"audience"`
	Claims   map[string]string `json:"claims"` // see package claimrule
	Role     Role              `json:"role"`
	Life     time.Duration     `json:"life"` // of a bearer
}

// CreateFederation creates a federation from everything in f but Meta and OrgID; a zero Life means [DefaultFederatedLife]. It returns a [FieldError], [ErrExists], [ErrQuota],
// or [ErrNotFound] for the organization.
func (s *Store) CreateFederation(ctx context.Context, act Act, orgID string, f Federation) (Federation, error) {
	f.Meta, f.OrgID, f.Claims = act.meta(), orgID, maps.Clone(f.Claims)
	if f.Life == 0 {
		f.Life = DefaultFederatedLife
	}
	if err := checkFederation(f); err != nil {
		return Federation{}, fmt.Errorf("creating federation: %w", err)
	}
	rev, err := s.mutateOnce(ctx, act, orgID, func(m *image) (*change, error) {
		if _, err := m.org(s.space, orgID); err != nil {
			return nil, fmt.Errorf("organization: %w", err)
		}
		if _, err := m.findFederation(s.space, orgID, f.Name); !errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("federation %q: %w", f.Name, taken(err))
		}
		if have := m.federationsOf(orgID); have >= MaxFederations {
			return nil, &QuotaError{Of: "federations", Limit: MaxFederations, Have: have, More: 1}
		}
		ch := s.federationChange(act, audit.FederationCreate, f, 0)
		return ch, s.puts(ch, record{s.space.federation(orgID, f.Name), kindFederation, f})
	}, &f)
	if err != nil {
		return Federation{}, fmt.Errorf("creating federation: %w", err)
	}
	f.Revision = rev
	return f, nil
}

// DeleteFederation deletes a federation: no replica gives out a bearer by it, or accepts one that was, in a request that begins afterwards. It returns [ErrNotFound] or a
// [ConflictError].
func (s *Store) DeleteFederation(ctx context.Context, act Act, orgID, id string, expect int64) error {
	_, err := s.mutate(ctx, orgID, func(m *image) (*change, error) {
		f, err := m.findFederation(s.space, orgID, id)
		if err != nil {
			return nil, err
		}
		if err := f.expect(expect); err != nil {
			return nil, err
		}
		ch := s.federationChange(act, audit.FederationDelete, *f, f.Revision)
		ch.ops = []clientv3.Op{clientv3.OpDelete(s.space.federation(orgID, f.Name))}
		return ch, nil
	})
	if err != nil {
		return fmt.Errorf("deleting federation: %w", err)
	}
	return nil
}

// federationChange begins a change of a federation that is now at revision rev, 0 for a new one.
func (s *Store) federationChange(act Act, action audit.Action, f Federation, rev int64) *change {
	ch := &change{
		compares: []clientv3.Cmp{exists(s.space.federation(f.OrgID, f.Name), rev)},
		event:    act.event(f.OrgID, action),
	}
	ch.event.ResourceKind, ch.event.ResourceID, ch.event.ResourceName = "federation", f.ID, f.Name
	return ch
}

// Federation returns a federation by name or id.
func (s *Store) Federation(ctx context.Context, orgID, nameOrID string) (Federation, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return Federation{}, err
	}
	f, err := m.findFederation(s.space, orgID, nameOrID)
	if err != nil {
		return Federation{}, fmt.Errorf("federation: %w", err)
	}
	return f.clone(), nil
}

// Federations lists federations by name.
func (s *Store) Federations(ctx context.Context, orgID string, q Query) (Page[Federation], error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return Page[Federation]{}, err
	}
	return list(s, federationNames{m.federations.byName}, orgID, kindFederation, q, func(i index) (Federation, bool) {
		f, err := m.findFederation(s.space, orgID, i.name)
		if err != nil {
			return Federation{}, false
		}
		return f.clone(), true
	})
}

// clone returns a copy that shares nothing a caller could change.
func (f *Federation) clone() Federation {
	c := *f
	c.Claims = maps.Clone(f.Claims)
	return c
}

func checkFederation(f Federation) error {
	return firstOf(
		func() error { return checkName(f.Name) },
		func() error { return checkFederationIssuer(f.Issuer) },
		func() error { return required("/audience", f.Audience, maxAudience) },
		func() error {
			broken, ok := errors.AsType[*claimrule.Error](claimrule.Check(f.Claims))
			if !ok {
				return nil
			}
			pointer := "/claims"
			if broken.Claim != "" {
				pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(broken.Claim)
			}
			return invalid(pointer, broken.Code, "%s", broken.Message)
		},
		func() error { return checkRole(f.Role) },
		func() error {
			if f.Life < MinFederatedLife || f.Life > MaxFederatedLife || f.Life%time.Second != 0 {
				return invalid("/lifetime_seconds", "range", "a bearer lives for %d seconds to %d", MinFederatedLife/time.Second, MaxFederatedLife/time.Second)
			}
			return nil
		},
	)
}

// checkFederationIssuer refuses what could be nobody's name for itself. Which issuers the installation allows is not decided here.
func checkFederationIssuer(issuer string) error {
	if err := required("/issuer", issuer, maxIssuer); err != nil {
		return err
	}
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(issuer, "#") {
		return invalid("/issuer", "syntax", "it must be https://<host>[/<path>], exactly as the issuer writes itself: whoever could answer in its place could let in anybody")
	}
	return nil
}
