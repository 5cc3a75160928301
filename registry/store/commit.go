// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/audit"
)

// change is what a mutation writes, decided on one image.
type change struct {
	compares []clientv3.Cmp
	ops      []clientv3.Op
	event    audit.Event
	more     []audit.Event // of a change that is several
	adds     Quota         // what it adds to the chain's organization
	// unreleased, if not empty, is a secret that no pod may have received since a state of the chain, or the change is not made: errReleased.
	unreleased string
	since      chainHead
}

// attempts bounds how often a mutation is decided anew because another one came first.
const attempts = 24

// errContention is returned when every attempt met a conflict. Nothing was written.
var errContention = errors.New("too many conflicting writes")

// mutate decides a change and commits it together with its audit event, as the next link of a chain. decide sees every mutation of the chain's organization
// that came before, may be called again after a conflict, and returns nil for a change that is not needed. The result is the revision of what was written, 0
// if nothing was.
func (s *Store) mutate(ctx context.Context, chainName string, decide func(*image) (*change, error)) (int64, error) {
	return s.mutateOnce(ctx, Act{}, chainName, decide)
}

// mutateOnce is mutate for an act that may have a key. Results are pointers to what the mutation returns, which decide fills; the first one may be an object
// that has a revision. If the mutation was done before under its key, they become what it returned then, and the result is the revision of that.
func (s *Store) mutateOnce(ctx context.Context, act Act, chainName string, decide func(*image) (*change, error), results ...any) (int64, error) {
	if err := s.knows(ctx, chainName); err != nil {
		return 0, err
	}
	return s.mutateChain(ctx, act, chainName, func(m *image) (*change, error) {
		// Its contents may still be there, and are nobody's to change.
		if _, err := m.org(s.space, chainName); chainName != installation && err != nil {
			return nil, fmt.Errorf("organization: %w", err)
		}
		return decide(m)
	}, results...)
}

// mutateChain is mutateOnce also for the chain of an organization that was deleted.
func (s *Store) mutateChain(ctx context.Context, act Act, chainName string, decide func(*image) (*change, error), results ...any) (int64, error) {
	c := s.chain(chainName)
	if err := c.lock(ctx); err != nil {
		return 0, err
	}
	defer c.unlock()
	for attempt := range attempts {
		if attempt > 0 {
			s.counters.conflicts.Add(1)
			select {
			case <-time.After(rand.N(time.Duration(attempt) * 2 * time.Millisecond)):
			case <-ctx.Done():
				return 0, context.Cause(ctx)
			}
		}
		if err := s.keyErr(); err != nil {
			return 0, err
		}
		var keys answers
		var gets []clientv3.Op
		if act.Once != nil {
			keys = s.answers(act, now())
			gets = keys.gets()
		}
		tip, head, responses, err := s.headsAnd(ctx, chainName, gets)
		if err != nil {
			return 0, err
		}
		if act.Once != nil {
			r, err := s.readAnswer(act.Once, responses, results)
			if err != nil || r.done {
				return r.rev, err
			}
			if r.count >= int64(s.config.Answers) {
				if err := s.evictAnswers(ctx, keys); err != nil {
					return 0, err
				}
			}
		}
		m, err := s.reach(ctx, tip)
		if err != nil {
			return 0, err
		}
		ch, err := decide(m)
		if err != nil || ch == nil && act.Once == nil {
			return 0, err
		}
		if ch == nil {
			if err := s.keepUnchanged(ctx, act, keys, tip, results); !errors.Is(err, errContention) {
				return 0, err
			}
			continue
		}
		if err := s.checkQuota(m, chainName, ch.adds); err != nil {
			return 0, err
		}
		if act.Once != nil {
			put, err := s.putAnswer(act.Once, keys, results, false)
			if err != nil {
				return 0, err
			}
			ch.compares, ch.ops = append(ch.compares, keys.absent()...), append(ch.ops, put)
		}
		if s.config.Journal != nil {
			if err := s.config.Journal(ctx, ch.events()...); err != nil {
				return 0, fmt.Errorf("%w: %w", ErrAudit, err)
			}
		}
		rev, err := s.commit(ctx, chainName, tip, head, ch)
		if !errors.Is(err, errContention) {
			return rev, err
		}
	}
	return 0, fmt.Errorf("%w: %w", ErrUnavailable, errContention)
}

// knows returns an error unless the organization of a chain exists, so that memory is kept for no id somebody made up.
func (s *Store) knows(ctx context.Context, chainName string) error {
	if chainName == installation {
		return nil
	}
	if _, err := s.image().org(s.space, chainName); err == nil {
		return nil // decide will look again
	}
	m, err := s.fresh(ctx)
	if err != nil {
		return err
	}
	if _, err := m.org(s.space, chainName); err != nil {
		return fmt.Errorf("organization: %w", err)
	}
	return nil
}

// commit writes a change that was decided at tip. If only audit events were added to the chain since, it goes after them and is still right; if a mutation
// came in between, commit returns errContention.
func (s *Store) commit(ctx context.Context, chainName string, tip int64, head chainHead, ch *change) (int64, error) {
	if err := s.checkUnreleased(ctx, chainName, ch, head); err != nil {
		return 0, err
	}
	for range attempts {
		link, err := s.link(chainName, head, ch.events())
		if err != nil {
			return 0, err
		}
		limited, cancel := context.WithTimeout(ctx, writeTimeout)
		resp, err := s.client.Txn(limited).
			If(append(link.compares, ch.compares...)...).
			Then(append(append(link.ops, ch.ops...), clientv3.OpPut(s.space.tip(), s.sealTip()))...).
			Else(s.headOps(chainName)...).
			Commit()
		cancel()
		if err != nil {
			return s.settle(ctx, chainName, link, err)
		}
		if resp.Succeeded {
			return resp.Header.Revision, nil
		}
		now, moved, err := s.readHeads(chainName, resp)
		if err != nil {
			return 0, err
		}
		if now != tip || moved.rev == head.rev {
			return 0, errContention
		}
		head = moved
		if err := s.checkUnreleased(ctx, chainName, ch, head); err != nil {
			return 0, err
		}
	}
	return 0, errContention
}

// settle finds out what became of a transaction whose answer was lost. The audit events of the transaction are under a key of their own: if they are there
// it happened, if others are there it cannot happen any more, else its outcome is unknown.
func (s *Store) settle(ctx context.Context, chainName string, l link, cause error) (int64, error) {
	if ctx.Err() != nil {
		return 0, etcdError(ctx, cause)
	}
	limited, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	resp, err := s.client.Get(limited, l.key)
	switch {
	case err != nil || len(resp.Kvs) == 0:
		return 0, fmt.Errorf("writing (outcome unknown): %w", etcdError(ctx, cause))
	case string(resp.Kvs[0].Value) == l.record:
		return resp.Kvs[0].ModRevision, nil
	}
	return 0, errContention
}

// event makes the audit event of a mutation.
func (a Act) event(org string, action audit.Action) audit.Event {
	return audit.Event{
		ID:        newID(),
		Time:      now(),
		RequestID: a.RequestID,
		Actor:     a.Actor,
		SourceIP:  a.SourceIP,
		OrgID:     org,
		Action:    action,
		Outcome:   audit.Allowed,
	}
}

// meta makes the metadata of a new object.
func (a Act) meta() Meta {
	t := now()
	return Meta{ID: newID(), CreatedAt: t, UpdatedAt: t, CreatedBy: a.Actor, UpdatedBy: a.Actor}
}

// update marks an object as changed.
func (m *Meta) update(a Act) { m.UpdatedAt, m.UpdatedBy = now(), a.Actor }

func (m Meta) revision() int64 { return m.Revision }

// expect returns a ConflictError unless the caller saw the current revision, or did not care.
func (m Meta) expect(rev int64) error {
	if rev != 0 && rev != m.Revision {
		return &ConflictError{Current: m}
	}
	return nil
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// now is in the precision the records keep.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// Comparisons of a transaction.
func exists(key string, rev int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(key), "=", rev)
}
func absent(key string) clientv3.Cmp { return clientv3.Compare(clientv3.CreateRevision(key), "=", 0) }
