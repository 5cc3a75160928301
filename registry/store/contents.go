// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// MaxContentNames is how many names of each kind [Store.Contents] returns.
const MaxContentNames = 100

// The kinds of contents, in the order they are listed.
const (
	ContentSecret        = "secret"
	ContentDeletedSecret = "deleted_secret" // that could still be undeleted
	ContentConsumer      = "consumer"
	ContentProvider      = "provider"
	ContentWorkload      = "workload" // a pod that received something and is not known to be gone, as <namespace>/<pod>
	ContentLease         = "lease"    // that is not abandoned, as <provider>:<path>
	ContentMember        = "member"
	ContentToken         = "api_token"
	ContentInvitation    = "invitation"
	ContentFederation    = "federation"
	ContentRecord        = "record" // one that does not verify, by its key: nobody knows what it is
)

// Content is what an organization has of one kind.
type Content struct {
	Kind  string
	Count int
	Names []string // sorted, the first MaxContentNames
	// NeedsForce says that it keeps the organization from being deleted without force: there is some of it, and it works or may. Who administers the organization does not.
	NeedsForce bool
}

// NotEmptyError says what keeps an organization from being deleted without force. It wraps [ErrReferenced].
type NotEmptyError struct{ Contents []Content }

func (e *NotEmptyError) Error() string {
	return fmt.Sprintf("%v: the organization is not empty", ErrReferenced)
}
func (e *NotEmptyError) Unwrap() error { return ErrReferenced }

// Contents returns what would go with an organization, one entry a kind, those without any included.
func (s *Store) Contents(ctx context.Context, orgID string) ([]Content, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := m.org(s.space, orgID); err != nil {
		return nil, fmt.Errorf("organization: %w", err)
	}
	outside, err := s.contentsOutside(ctx, orgID)
	if err != nil {
		return nil, err
	}
	return m.contents(s.space, orgID, outside), nil
}

// namesOf collects names by kind.
type namesOf map[string][]string

func (n namesOf) add(kind, name string) { n[kind] = append(n[kind], name) }

// contentsOutside reads what is not in memory: pods and leases.
func (s *Store) contentsOutside(ctx context.Context, orgID string) (namesOf, error) {
	names := make(namesOf)
	seen := make(map[podKey]struct{})
	err := s.walkGrantKeys(ctx, s.space.grants(orgID), func(_ string, p podKey) {
		if _, ok := seen[p]; !ok {
			seen[p] = struct{}{}
			names.add(ContentWorkload, p.namespace+"/"+p.pod)
		}
	})
	if err != nil {
		return nil, err
	}
	err = s.walkKeys(ctx, s.space.leasesOf(orgID), func(key string, value []byte, rev int64) error {
		if l, err := s.openLeaseRecord(key, value, rev); err != nil {
			names.add(ContentRecord, key)
		} else if l.State != LeaseAbandoned {
			names.add(ContentLease, l.Provider+":"+l.Path)
		}
		return nil
	})
	return names, err
}

// contents are what the image knows of an organization, and what was read beside it.
func (m *image) contents(k keyspace, orgID string, outside namesOf) []Content {
	names := make(namesOf)
	for kind, list := range outside {
		names[kind] = slices.Clone(list)
	}
	for key := range m.broken {
		if strings.HasPrefix(key, k.org(orgID)+"/") {
			names.add(ContentRecord, key)
		}
	}
	m.secrets.AscendGreaterOrEqual(&Secret{OrgID: orgID}, func(s *Secret) bool {
		switch {
		case s.OrgID != orgID:
		case s.DeletedAt != nil:
			names.add(ContentDeletedSecret, s.Name)
		default:
			names.add(ContentSecret, s.Name)
		}
		return s.OrgID == orgID
	})
	m.consumers.AscendGreaterOrEqual(&Consumer{OrgID: orgID}, func(c *Consumer) bool {
		if c.OrgID == orgID {
			names.add(ContentConsumer, c.Name)
		}
		return c.OrgID == orgID
	})
	m.providers.AscendGreaterOrEqual(&sealedProvider{Provider: Provider{OrgID: orgID}}, func(p *sealedProvider) bool {
		if p.OrgID == orgID {
			names.add(ContentProvider, p.Name)
		}
		return p.OrgID == orgID
	})
	m.membersOf(orgID, func(member *Member) bool {
		names.add(ContentMember, member.Principal)
		return true
	})
	m.tokens.AscendGreaterOrEqual(&token{APIToken: APIToken{OrgID: orgID}}, func(t *token) bool {
		if t.OrgID == orgID {
			names.add(ContentToken, t.Name)
		}
		return t.OrgID == orgID
	})
	m.federations.byName.AscendGreaterOrEqual(&Federation{OrgID: orgID}, func(f *Federation) bool {
		if f.OrgID == orgID {
			names.add(ContentFederation, f.Name)
		}
		return f.OrgID == orgID
	})
	m.invitationsOf(orgID, func(i *invitation) bool {
		names.add(ContentInvitation, i.invited())
		return true
	})
	harmless := []string{ContentDeletedSecret, ContentMember, ContentToken, ContentInvitation, ContentFederation}
	kinds := []string{ContentSecret, ContentDeletedSecret, ContentConsumer, ContentProvider, ContentWorkload, ContentLease, ContentMember, ContentToken, ContentInvitation, ContentFederation, ContentRecord}
	list := make([]Content, len(kinds))
	for i, kind := range kinds {
		all := names[kind]
		slices.Sort(all)
		list[i] = Content{Kind: kind, Count: len(all), Names: all[:min(len(all), MaxContentNames)], NeedsForce: len(all) > 0 && !slices.Contains(harmless, kind)}
	}
	return list
}
