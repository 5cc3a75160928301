// SPDX-License-Identifier: Apache-2.0

// Package events posts Kubernetes Events (events.k8s.io/v1) about starts and admissions that failed.
//
// An Event is news, not a record: whoever reports one never waits for it. It goes through a bounded queue and a rate limit, and is dropped when either is full. What is reported again
// about the same object is counted in a series of the first Event instead of posted anew, as the API server's own conventions want it. An Event says names and reason codes; callers
// hand over no value, nor anything made of one.
package events

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// queueSize is what may wait: a rollout of a few hundred pods that are all refused.
	queueSize = 512
	// perSecond and burst bound the load on the API server, whose own limit for Events of one source is in the same order.
	perSecond, burst = 5, 50
	// window is how long the same news about the same object is one series, counted again at most every interval.
	window, interval = 30 * time.Minute, time.Minute
	// maxSeries bounds what is remembered for counting; what falls out is posted anew.
	maxSeries = 2048
	// maxNote is the API server's limit, in bytes.
	maxNote = 1024
)

// API posts to one cluster, as [Client] does.
type API interface {
	Create(ctx context.Context, e *eventsv1.Event) error
	// Patch changes an Event by a merge patch.
	Patch(ctx context.Context, namespace, name string, patch []byte) error
}

// News is what happened to one object.
type News struct {
	Regarding corev1.ObjectReference // with a namespace, in which the Event is
	Related   *corev1.ObjectReference
	Reason    string // in CamelCase, see [Reason]
	Action    string // what was tried, in CamelCase
	Note      string // for people; cut at 1 KiB
}

// Config of a [Poster]. API and Controller are required.
type Config struct {
	API        API
	Controller string // who reports, as <domain>/<name>
	Instance   string // which replica; Controller if empty
	// About, if set, completes news just before they are posted, in the poster's goroutine: it may ask the API server, and return more than it was given, or nothing.
	About func(ctx context.Context, n News) []News
	Log   *slog.Logger // nil discards
	// Metric is the name of the counter of news by what became of them; with a Registerer only.
	Metric     string
	Registerer prometheus.Registerer
}

// Poster posts what is reported to it. A nil Poster takes everything and does nothing.
type Poster struct {
	config Config
	queue  chan News
	limit  *rate.Limiter
	series map[key]*series // of [Poster.Run]'s goroutine alone
	result *prometheus.CounterVec
}

// key is what makes news the same.
type key struct{ uid, namespace, kind, name, reason, note string }

type series struct {
	namespace, name string // of the Event; empty if it was not posted
	count           int32
	last, written   time.Time
}

// What became of news.
const (
	resultPosted  = "posted"
	resultCounted = "counted" // in the series of what was posted before
	resultDropped = "dropped" // the queue was full
	resultFailed  = "failed"  // the API server did not take it
)

// New returns a poster. [Poster.Run] posts.
func New(config Config) *Poster {
	config.Instance = cmp.Or(config.Instance, config.Controller)
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	p := &Poster{config: config, queue: make(chan News, queueSize), limit: rate.NewLimiter(perSecond, burst), series: make(map[key]*series)}
	p.result = prometheus.NewCounterVec(prometheus.CounterOpts{Name: cmp.Or(config.Metric, "lanyard_events_total"), Help: "Kubernetes Events by what became of them: posted, counted with one posted before, dropped or failed."}, []string{"result"})
	for _, result := range []string{resultPosted, resultCounted, resultDropped, resultFailed} {
		p.result.WithLabelValues(result)
	}
	if config.Registerer != nil {
		config.Registerer.MustRegister(p.result)
	}
	return p
}

// Report takes news. It does not block, and drops them if too many wait.
func (p *Poster) Report(n News) {
	if p == nil {
		return
	}
	select {
	case p.queue <- n:
	default:
		p.result.WithLabelValues(resultDropped).Inc()
	}
}

// Run posts until ctx ends. What waits then is lost.
func (p *Poster) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-p.queue:
			p.take(ctx, n)
		}
	}
}

func (p *Poster) take(ctx context.Context, n News) {
	now := time.Now()
	if p.repeated(ctx, n, now) {
		return
	}
	all := []News{n}
	if p.config.About != nil {
		if p.limit.Wait(ctx) != nil {
			return
		}
		all = p.config.About(ctx, n)
	}
	if !contains(all, n) { // remembered all the same, so that it is not asked about again and again
		p.remember(n, now)
	}
	for _, n := range all {
		if !p.repeated(ctx, n, now) {
			p.post(ctx, n, p.remember(n, now))
		}
	}
}

func contains(all []News, n News) bool {
	for i := range all {
		if keyOf(all[i]) == keyOf(n) {
			return true
		}
	}
	return false
}

// repeated counts news that were posted within the window, and reports whether they were.
func (p *Poster) repeated(ctx context.Context, n News, now time.Time) bool {
	s := p.series[keyOf(n)]
	if s == nil || now.Sub(s.last) > window {
		return false
	}
	s.count++
	s.last = now
	p.result.WithLabelValues(resultCounted).Inc()
	if s.name == "" || now.Sub(s.written) < interval {
		return true
	}
	s.written = now
	patch, err := json.Marshal(map[string]any{"series": eventsv1.EventSeries{Count: s.count, LastObservedTime: metav1.NewMicroTime(now)}})
	if err != nil {
		panic(err) // our own struct marshals
	}
	p.send(ctx, func(ctx context.Context) error { return p.config.API.Patch(ctx, s.namespace, s.name, patch) })
	return true
}

// remember begins a series.
func (p *Poster) remember(n News, now time.Time) *series {
	if len(p.series) >= maxSeries {
		p.forget(now)
	}
	s := &series{count: 1, last: now, written: now}
	p.series[keyOf(n)] = s
	return s
}

// forget drops the series whose window is over, or if there is none, all of them.
func (p *Poster) forget(now time.Time) {
	for k, s := range p.series {
		if now.Sub(s.last) > window {
			delete(p.series, k)
		}
	}
	if len(p.series) >= maxSeries {
		clear(p.series)
	}
}

func (p *Poster) post(ctx context.Context, n News, s *series) {
	now := time.Now()
	e := &eventsv1.Event{
		TypeMeta:   metav1.TypeMeta{APIVersion: "events.k8s.io/v1", Kind: "Event"},
		ObjectMeta: metav1.ObjectMeta{Namespace: n.Regarding.Namespace, Name: fmt.Sprintf("%.230s.%x", n.Regarding.Name, now.UnixNano())},
		EventTime:  metav1.NewMicroTime(now), ReportingController: p.config.Controller, ReportingInstance: fmt.Sprintf("%.128s", p.config.Instance),
		Regarding: n.Regarding, Related: n.Related, Type: corev1.EventTypeWarning, Reason: n.Reason, Action: n.Action, Note: cut(n.Note),
	}
	if p.send(ctx, func(ctx context.Context) error { return p.config.API.Create(ctx, e) }) {
		s.namespace, s.name = e.Namespace, e.Name
		p.result.WithLabelValues(resultPosted).Inc()
	}
}

// send sends one request, in its turn. It is not repeated: news that matter are reported again.
func (p *Poster) send(ctx context.Context, request func(context.Context) error) bool {
	if p.limit.Wait(ctx) != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := request(ctx)
	if err != nil {
		p.result.WithLabelValues(resultFailed).Inc()
		p.config.Log.LogAttrs(ctx, slog.LevelDebug, "posting an event", slog.String("err", err.Error()))
	}
	return err == nil
}

func keyOf(n News) key {
	return key{string(n.Regarding.UID), n.Regarding.Namespace, n.Regarding.Kind, n.Regarding.Name, n.Reason, n.Note}
}

func cut(note string) string {
	if len(note) <= maxNote {
		return note
	}
	const more = "…"
	return strings.ToValidUTF8(note[:maxNote-len(more)], "") + more
}

// Reason returns a reason code as Events write it: not_bound is NotBound.
func Reason(code string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(code, "_") {
		if part != "" {
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return b.String()
}

// Controller returns the reference to the object that controls another one in its namespace, or nil.
func Controller(namespace string, owners []metav1.OwnerReference) *corev1.ObjectReference {
	for _, o := range owners {
		if o.Controller != nil && *o.Controller {
			return &corev1.ObjectReference{APIVersion: o.APIVersion, Kind: o.Kind, Namespace: namespace, Name: o.Name, UID: o.UID}
		}
	}
	return nil
}

// Pod returns the reference to a pod.
func Pod(namespace, name, uid string) corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: name, UID: types.UID(uid)}
}
