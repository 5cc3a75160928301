// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/audit"
)

// MaxFederatedTokens is how many bearers of one federation may be good at a time, unless [Config] says otherwise. They are in the memory of every replica.
const MaxFederatedTokens = 1024

// ErrRedeemed means that an ID token was exchanged before.
var ErrRedeemed = errors.New("ID token was exchanged before")

// FederatedToken is what a job got for its ID token: a bearer of one organization, with the role of its federation. It never changes, and is gone when it ends or when the federation is deleted. Its text
// is not stored and not reachable from here.
type FederatedToken struct {
	Meta
	OrgID        string    `json:"org_id"`
	FederationID string    `json:"federation_id"`
	Principal    string    `json:"principal"` // "federation:<name>#<subject>"
	ExpiresAt    time.Time `json:"expires_at"`
	// Role is that of the federation. It is not part of the record.
	Role Role `json:"-"`
}

// IDToken is an ID token that was verified and is what a federation means.
type IDToken struct {
	Sum       [sha256.Size]byte // identifies it
	ExpiresAt time.Time
}

// federated is a bearer as it is stored.
type federated struct {
	FederatedToken
	Hash []byte `json:"hash"` // SHA-256 of the text its holder has
}

// RedeemIDToken makes a bearer of the principal act.Actor. The ID token is used up in the same transaction, for every federation of every organization: of two requests that present it, on whichever
// replicas, one gets a bearer, and the other [ErrRedeemed]. hash is called once, with the bearer's id, and returns the SHA-256 of the text its holder will send. It returns [ErrNotFound] if
// there is no such federation any more, and [ErrTooMany].
func (s *Store) RedeemIDToken(ctx context.Context, act Act, f Federation, id IDToken, hash func(id string) [32]byte) (FederatedToken, error) {
	t := FederatedToken{Meta: act.meta(), OrgID: f.OrgID, FederationID: f.ID, Principal: act.Actor, Role: f.Role}
	t.ExpiresAt = t.CreatedAt.Add(f.Life)
	used := s.space.redeemed(hex.EncodeToString(id.Sum[:]))
	if err := s.checkUnused(ctx, used); err != nil {
		return FederatedToken{}, fmt.Errorf("redeeming ID token: %w", err)
	}
	// One lease for both: a used ID token must be remembered for as long as it could be presented.
	lease, err := s.grant(ctx, max(f.Life, id.ExpiresAt.Sub(t.CreatedAt)+time.Minute))
	if err != nil {
		return FederatedToken{}, fmt.Errorf("redeeming ID token: %w", err)
	}
	sum := hash(t.ID)
	rev, err := s.mutate(ctx, f.OrgID, func(m *image) (*change, error) {
		if _, err := m.org(s.space, f.OrgID); err != nil {
			return nil, fmt.Errorf("organization: %w", err)
		}
		rule, err := m.findFederation(s.space, f.OrgID, f.ID)
		if err != nil {
			return nil, err
		}
		if m.federations.tokensOf(f.ID, now()) >= s.config.FederatedTokens {
			return nil, ErrTooMany
		}
		if err := s.checkUnused(ctx, used); err != nil { // by another request since
			return nil, err
		}
		key := s.space.federated(f.OrgID, t.ID)
		ch := &change{
			event:    act.event(f.OrgID, audit.FederationExchange),
			compares: []clientv3.Cmp{absent(key), absent(used), exists(s.space.federation(rule.OrgID, rule.Name), rule.Revision)},
		}
		ch.event.ResourceKind, ch.event.ResourceID, ch.event.ResourceName = "federated_token", t.ID, rule.Name
		sealed, err := seal(s.keys, key, kindFederated, federated{t, sum[:]})
		if err != nil {
			return nil, err
		}
		mark, err := seal(s.keys, used, kindRedeemed, t.ID)
		if err != nil {
			return nil, err
		}
		ch.ops = []clientv3.Op{clientv3.OpPut(key, sealed, clientv3.WithLease(lease)), clientv3.OpPut(used, mark, clientv3.WithLease(lease))}
		return ch, nil
	})
	if err != nil {
		return FederatedToken{}, fmt.Errorf("redeeming ID token: %w", err)
	}
	t.Revision = rev
	return t, nil
}

// checkUnused returns ErrRedeemed if there is anything under the key of a used ID token, also a record that does not verify.
func (s *Store) checkUnused(ctx context.Context, used string) error {
	limited, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	resp, err := s.client.Get(limited, used, clientv3.WithCountOnly())
	switch {
	case err != nil:
		return etcdError(ctx, err)
	case resp.Count > 0:
		return ErrRedeemed
	}
	return nil
}

// VerifyFederatedToken returns the bearer with this id if sum is the hash it was made with, it has not ended, and its federation is there. Everything else is [ErrNotFound]: which it was is not told. Like
// every read it knows of each deletion that was acknowledged before it began.
func (s *Store) VerifyFederatedToken(ctx context.Context, id string, sum [32]byte) (FederatedToken, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return FederatedToken{}, err
	}
	t, ok := m.federations.tokens.Get(&federated{FederatedToken: FederatedToken{Meta: Meta{ID: id}}})
	if !ok || subtle.ConstantTimeCompare(t.Hash, sum[:]) != 1 {
		return FederatedToken{}, ErrNotFound
	}
	return m.federatedToken(s.space, t)
}

// FederatedToken returns a bearer of an organization that has not ended.
func (s *Store) FederatedToken(ctx context.Context, orgID, id string) (FederatedToken, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return FederatedToken{}, err
	}
	t, ok := m.federations.tokens.Get(&federated{FederatedToken: FederatedToken{Meta: Meta{ID: id}}})
	if !ok || t.OrgID != orgID {
		return FederatedToken{}, ErrNotFound
	}
	return m.federatedToken(s.space, t)
}

// federatedToken is what callers are told of a bearer that is good now.
func (m *image) federatedToken(k keyspace, t *federated) (FederatedToken, error) {
	_, err := m.org(k, t.OrgID)
	f, ok := m.federations.byID.Get(&Federation{Meta: Meta{ID: t.FederationID}})
	if err != nil || !ok || f.OrgID != t.OrgID || !now().Before(t.ExpiresAt) { // the lease only tidies up
		return FederatedToken{}, ErrNotFound
	}
	told := t.FederatedToken
	told.Role = f.Role
	return told, nil
}
