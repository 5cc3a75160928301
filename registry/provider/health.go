// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"log/slog"
	"sync"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// Health is what this process knows of a provider: the newest of its own checks and reads. Another replica may know something else, because its way to the server is another.
type Health struct {
	Status        Status
	CheckedAt     time.Time // of the newest check or read that told something; zero if there was none
	LastSuccessAt time.Time // zero if there was none since the record changed or the process began
	// Code and Reason say why the status is StatusFailing; empty otherwise.
	Code   wire.Code
	Reason Reason
	// Revision is that of the record it is about; 0 with StatusUnknown.
	Revision int64
}

// Status is the health of a provider in a word.
type Status string

// The statuses.
const (
	StatusUnknown Status = "unknown" // nothing was asked of it since its record changed or the process began
	StatusHealthy Status = "healthy"
	StatusFailing Status = "failing" // it cannot be reached, refuses the credentials, or its record breaks a rule
)

// Key names a provider of an organization.
type Key struct{ OrgID, ProviderID, Type string }

// healths are the healths of all providers. An entry is about one state of a record: what a read through an older one finds out says nothing about it. The zero value
// is not ready; it is safe for concurrent use.
type healths struct {
	log *slog.Logger

	mu sync.Mutex
	of map[id]*health
}

type health struct {
	Health
	kind     string
	digest   recordDigest
	revision int64
}

func newHealths(log *slog.Logger) *healths { return &healths{log: log, of: make(map[id]*health)} }

// begin makes the entry of a record that is in use, unless it is there. A record that was written again without a change keeps its entry.
func (h *healths) begin(key id, kind string, digest recordDigest, revision int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	have, ok := h.of[key]
	if !ok || have.digest != digest {
		have = &health{Health: Health{Status: StatusUnknown}, kind: kind, digest: digest}
		h.of[key] = have
	}
	have.revision = max(have.revision, revision)
}

// learn takes the outcome of a check or read through the record with this digest.
func (h *healths) learn(key id, name string, digest recordDigest, err *Error) {
	now := time.Now()
	h.mu.Lock()
	entry, ok := h.of[key]
	if !ok || entry.digest != digest {
		h.mu.Unlock()
		return
	}
	before := entry.Status
	entry.CheckedAt = now
	if err == nil {
		entry.Status, entry.LastSuccessAt, entry.Code, entry.Reason = StatusHealthy, now, "", ""
	} else {
		entry.Status, entry.Code, entry.Reason = StatusFailing, err.Code(), err.Reason
	}
	after, kind := entry.Status, entry.kind
	h.mu.Unlock()
	switch {
	case before == after:
	case after == StatusFailing:
		h.log.Warn("provider is failing", "provider", name, "provider_id", key.provider, "type", kind, "code", string(err.Code()), "reason", string(err.Reason))
	case before == StatusFailing:
		h.log.Info("provider is healthy again", "provider", name, "provider_id", key.provider, "type", kind)
	}
}

func (h *healths) forget(key id) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.of, key)
}

// keep makes entries of the providers there are and forgets the others.
func (h *healths) keep(keys []Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	listed := make(map[id]bool, len(keys))
	for _, k := range keys {
		key := id{k.OrgID, k.ProviderID}
		listed[key] = true
		if _, ok := h.of[key]; !ok {
			h.of[key] = &health{Health: Health{Status: StatusUnknown}, kind: k.Type}
		}
	}
	for key := range h.of {
		if !listed[key] {
			delete(h.of, key)
		}
	}
}

func (h *healths) get(key id) Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	entry, ok := h.of[key]
	if !ok || entry.Status == StatusUnknown {
		return Health{Status: StatusUnknown}
	}
	known := entry.Health
	known.Revision = entry.revision
	return known
}

// count returns how many providers of each type have each status.
func (h *healths) count() map[[2]string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	counts := make(map[[2]string]int)
	for _, entry := range h.of {
		counts[[2]string{entry.kind, string(entry.Status)}]++
	}
	return counts
}

// Health returns what is known of a provider. It asks nobody.
func (m *Manager) Health(orgID, providerID string) Health {
	return m.healths.get(id{orgID, providerID})
}

// telling reports whether the outcome of a read tells something about the provider as a whole. What one path or key answers does not: a secret that is missing or denied is no
// fault of the provider's, nor is a limit of our own, or a login that the server refuses to one pod.
func (o *opened) telling(err *Error) bool {
	switch {
	case err == nil:
		return true
	case err.Kind == KindUnavailable:
		return err.Reason != ReasonCircuitOpen && err.Reason != ReasonClosed && err.Reason != ReasonRecord
	}
	return err.Reason == ReasonCredentials && o.audience == "" || err.Reason == ReasonAddress
}
