// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/store"
)

const (
	writers      = 4                // that write values down at once
	maxWaiting   = 256              // values that wait for one, 64 KiB each at most; what comes then is not kept
	keepAgain    = time.Minute      // an unchanged value is written down again after this, or an eighth of the age it may have
	maxStamps    = 100_000          // of secrets; then all are forgotten, which costs a write each
	writeTimeout = 10 * time.Second // of one value
)

// memory writes down what providers answer, beside the requests that asked. It is safe for concurrent use.
type memory struct {
	book    func() Book
	metrics *metrics
	log     *slog.Logger
	salt    [32]byte // keys the digests of stamps
	waiting chan task

	mu     sync.Mutex
	stamps map[string]stamp // :: secret id → what was written down last by this process
}

type task struct {
	good  store.LastGood
	value redact.Value // ours
	life  time.Duration
}

// stamp tells whether a value needs to be written down.
type stamp struct {
	providerRevision, secretRevision int64
	sum                              [sha256.Size]byte
	readAt                           time.Time
}

func newMemory(book func() Book, registerer prometheus.Registerer, log *slog.Logger) (*memory, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	m := &memory{book: book, log: log, waiting: make(chan task, maxWaiting), stamps: make(map[string]stamp)}
	_, _ = rand.Read(m.salt[:])
	var err error
	m.metrics, err = newMetrics(registerer)
	return m, err
}

// run writes until ctx ends. What waits then is not kept.
func (m *memory) run(ctx context.Context) {
	var work sync.WaitGroup
	for range writers {
		work.Go(func() {
			for {
				select {
				case t := <-m.waiting:
					m.write(ctx, t)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	work.Wait()
}

// keep has a value written down, unless it was lately. It does not block.
func (m *memory) keep(secret store.Secret, fetched provider.Fetched) {
	from := fetched.Source
	packed := pack(fetched.Value, from.Document)
	good := store.LastGood{
		OrgID: secret.OrgID, SecretID: secret.ID, Remote: *secret.Remote, ProviderRevision: from.Revision, SecretRevision: secret.Revision, ReadAt: from.ReadAt.UTC().Truncate(time.Millisecond),
	}
	if !m.stamp(good, packed, min(keepAgain, from.Keep/8)) {
		packed.Wipe()
		return
	}
	select {
	case m.waiting <- task{good, packed, from.Keep}:
	default:
		packed.Wipe()
		m.forget(secret)
		m.metrics.kept("dropped")
	}
}

// stamp reports whether a value is to be written down, and takes it that it is.
func (m *memory) stamp(good store.LastGood, packed redact.Value, again time.Duration) bool {
	mac := hmac.New(sha256.New, m.salt[:])
	mac.Write(packed.Reveal())
	s := stamp{providerRevision: good.ProviderRevision, secretRevision: good.SecretRevision, readAt: good.ReadAt}
	mac.Sum(s.sum[:0])
	m.mu.Lock()
	defer m.mu.Unlock()
	have, ok := m.stamps[good.SecretID]
	if ok && have.providerRevision == s.providerRevision && have.secretRevision == s.secretRevision && have.sum == s.sum && s.readAt.Sub(have.readAt) < again {
		return false
	}
	if len(m.stamps) >= maxStamps {
		clear(m.stamps)
	}
	m.stamps[good.SecretID] = s
	return true
}

// forget makes the next value of a secret be written down.
func (m *memory) forget(secret store.Secret) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.stamps, secret.ID)
}

func (m *memory) write(ctx context.Context, t task) {
	defer t.value.Wipe()
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := m.book().KeepLastGood(ctx, t.good, t.value, t.life)
	if err == nil {
		m.metrics.kept("ok")
		return
	}
	m.metrics.kept("failed")
	m.log.Warn("last known good value not kept", "org_id", t.good.OrgID, "secret_id", t.good.SecretID, "err", err)
	m.forget(store.Secret{Meta: store.Meta{ID: t.good.SecretID}})
}

// metrics have labels of closed sets alone. A nil *metrics counts nothing.
type metrics struct{ looks, keeps *prometheus.CounterVec }

func newMetrics(to prometheus.Registerer) (*metrics, error) {
	if to == nil {
		return nil, nil
	}
	m := &metrics{
		looks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lanyard_registry_provider_last_known_good_total", Help: "Looks for a last known good value because a provider did not answer, by outcome; those used were given to a pod.",
		}, []string{"outcome"}),
		keeps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lanyard_registry_provider_last_known_good_writes_total", Help: "Last known good values that were to be written down, by outcome.",
		}, []string{"outcome"}),
	}
	for _, c := range []prometheus.Collector{m.looks, m.keeps} {
		if err := to.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics of last known good values: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) looked(outcome string) {
	if m != nil {
		m.looks.WithLabelValues(outcome).Inc()
	}
}

func (m *metrics) kept(outcome string) {
	if m != nil {
		m.keeps.WithLabelValues(outcome).Inc()
	}
}
