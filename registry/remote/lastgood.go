// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Book is where last known good values are kept, as in [store.Store].
type Book interface {
	KeepLastGood(ctx context.Context, g store.LastGood, value redact.Value, life time.Duration) error
	LastGood(ctx context.Context, orgID, providerID, secretID string) (store.LastGood, redact.Value, error)
}

// refusalTimeout bounds how long a pod waits for its refusal to be written down.
const refusalTimeout = 5 * time.Second

// ahead is how much the clock of another replica may be ahead of ours.
const ahead = time.Minute

// recall is what one request was given of the past. Values of one path belong together: they are given only if the provider's document was the same when each was read.
type recall struct {
	mu        sync.Mutex
	documents map[document][sha256.Size]byte
}

type document struct{ provider, path, version string }

// admits reports whether a value of a document may go beside those that were given before it.
func (r *recall) admits(of store.Remote, sum [sha256.Size]byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.documents == nil {
		r.documents = make(map[document][sha256.Size]byte)
	}
	key := document{of.ProviderID, of.Path, of.Version}
	have, ok := r.documents[key]
	if !ok {
		r.documents[key] = sum
	}
	return !ok || have == sum
}

// What came of looking for a value, for the metric.
const (
	outcomeUsed       = "used"
	outcomeNone       = "none"       // none was kept, or the provider refused since
	outcomeTooOld     = "too_old"    // it was read longer ago than the provider's record allows
	outcomeMismatch   = "mismatch"   // it does not belong to the others of its path
	outcomeUnreadable = "unreadable" // the store, or a record that does not verify
)

// fallBack is what happens when a provider gave no value. If it did not answer and its record allows it, the last known good value is returned. If it answered, there is nothing good any more, and that is
// written down before anybody is told: an access that was taken away stays taken away when the provider falls silent afterwards.
func (p *Providers) fallBack(ctx context.Context, r *recall, secret store.Secret, failed *provider.Error) (resolve.Fetched, bool) {
	if failed.Reason == provider.ReasonProvider || failed.Reason == provider.ReasonRecord || ctx.Err() != nil {
		return resolve.Fetched{}, false
	}
	view, err := p.view(ctx)
	if err != nil {
		return resolve.Fetched{}, false
	}
	found, err := view.FindProvider(secret.OrgID, secret.Remote.ProviderID)
	if err != nil || found.LastKnownGood == nil {
		return resolve.Fetched{}, false
	}
	silent := failed.Kind == provider.KindUnavailable || failed.Kind == provider.KindThrottled
	switch {
	case !silent:
		p.memory.refuse(ctx, secret, found)
		return resolve.Fetched{}, false
	case r == nil:
		return resolve.Fetched{}, false
	}
	value, readAt, outcome := p.memory.find(ctx, r, secret, found)
	p.memory.metrics.looked(outcome)
	if outcome != outcomeUsed {
		return resolve.Fetched{}, false
	}
	p.memory.log.Warn("last known good value is used", "org_id", secret.OrgID, "secret", secret.Name, "provider", found.Name, "read_at", readAt, "reason", string(failed.Reason))
	return resolve.Fetched{Value: value, LastKnownGood: readAt}, true
}

// find returns the last known good value of a secret, which the caller owns, if it may be used.
func (m *memory) find(ctx context.Context, r *recall, secret store.Secret, of store.Provider) (redact.Value, time.Time, string) {
	kept, packed, err := m.book().LastGood(ctx, secret.OrgID, of.ID, secret.ID)
	defer packed.Wipe()
	age := time.Since(kept.ReadAt)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return redact.Value{}, time.Time{}, outcomeNone
	case err != nil:
		m.log.Warn("last known good value not read", "org_id", secret.OrgID, "secret", secret.Name, "provider", of.Name, "err", err)
		return redact.Value{}, time.Time{}, outcomeUnreadable
	case kept.Refused, kept.ProviderRevision != of.Revision, kept.Remote != *secret.Remote:
		return redact.Value{}, time.Time{}, outcomeNone
	case age > of.LastKnownGood.MaximumAge, age < -ahead:
		return redact.Value{}, time.Time{}, outcomeTooOld
	}
	value, sum, ok := unpack(packed)
	switch {
	case !ok:
		return redact.Value{}, time.Time{}, outcomeUnreadable
	case !r.admits(*secret.Remote, sum):
		value.Wipe()
		return redact.Value{}, time.Time{}, outcomeMismatch
	}
	return value, kept.ReadAt, outcomeUsed
}

// refuse writes down that a provider has no value for us.
func (m *memory) refuse(ctx context.Context, secret store.Secret, of store.Provider) {
	m.forget(secret)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refusalTimeout)
	defer cancel()
	err := m.book().KeepLastGood(ctx, store.LastGood{
		OrgID: secret.OrgID, SecretID: secret.ID, Remote: *secret.Remote, ProviderRevision: of.Revision, SecretRevision: secret.Revision, ReadAt: now(), Refused: true,
	}, redact.Value{}, of.LastKnownGood.MaximumAge+ahead)
	if err != nil {
		m.log.Error("refusal of a provider not written down: its last known good value stays", "org_id", secret.OrgID, "secret", secret.Name, "provider", of.Name, "err", err)
	}
}

// pack returns what is kept of a value, in a slice of its own.
func pack(value redact.Value, document [sha256.Size]byte) redact.Value {
	packed := make([]byte, 0, len(document)+len(value.Reveal()))
	return redact.New(append(append(packed, document[:]...), value.Reveal()...))
}

// unpack is the inverse of pack. The value is the caller's.
func unpack(packed redact.Value) (value redact.Value, document [sha256.Size]byte, ok bool) {
	raw := packed.Reveal()
	if len(raw) < len(document) {
		return redact.Value{}, document, false
	}
	copy(document[:], raw)
	return redact.New(append([]byte{}, raw[len(document):]...)), document, true
}

// now is in the precision the records keep.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
