// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	denialPeriod = time.Minute
	// maxDenials bounds the memory of one period, at about 200 bytes each.
	maxDenials = 4096
)

// Denials records refusals so that whoever is refused cannot fill the log: of equal ones (actor, action, reason and resource) the first of each minute, and
// no more than a few thousand different ones. Metrics count them all.
//
// A denial that cannot be recorded stays a denial; it is logged.
type Denials struct {
	record func(ctx context.Context, events ...Event) error
	log    *slog.Logger

	mu   sync.Mutex
	from time.Time           // when the period began
	seen map[denial]struct{} // in this period
}

type denial struct {
	actor, reason, org, resource string
	action                       Action
}

// NewDenials returns Denials that go to record, usually [Log.Record]. A nil logger discards.
func NewDenials(record func(ctx context.Context, events ...Event) error, log *slog.Logger) *Denials {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Denials{record: record, log: log}
}

// Record records those of events that are new in this minute. It blocks as long as the log does, whatever becomes of ctx's caller.
func (d *Denials) Record(ctx context.Context, events ...Event) {
	fresh := d.fresh(time.Now(), events)
	if len(fresh) == 0 {
		return
	}
	if err := d.record(context.WithoutCancel(ctx), fresh...); err != nil {
		d.log.Warn("denial not recorded", "request_id", fresh[0].RequestID, "reason", fresh[0].Reason, "err", err)
	}
}

func (d *Denials) fresh(now time.Time, events []Event) []Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen == nil || now.Sub(d.from) >= denialPeriod {
		d.from, d.seen = now, make(map[denial]struct{})
	}
	var fresh []Event
	for _, e := range events {
		key := denial{e.Actor, e.Reason, e.OrgID, e.ResourceName, e.Action}
		if _, ok := d.seen[key]; ok || len(d.seen) >= maxDenials {
			continue
		}
		d.seen[key] = struct{}{}
		fresh = append(fresh, e)
	}
	return fresh
}
