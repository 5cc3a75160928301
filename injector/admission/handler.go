// SPDX-License-Identifier: Apache-2.0

// Package admission answers the API server. It knows HTTP and the AdmissionReview, and leaves what becomes of a pod to package mutate.
//
// Answering a review has no effect but the answer and, unless it is a dry run, an Event that is posted after it. Every request that holds a readable UID is answered with a
// review, whatever goes wrong; the rest get an HTTP error, which the API server treats as the webhook's failure policy says.
package admission

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/lanyard-dev/lanyard/injector/mutate"
)

// Path is where reviews are posted to.
const Path = "/mutate"

const (
	// MaxBodyBytes bounds a review: the API server itself accepts objects of at most 3 MiB, and the review adds a few hundred bytes to it.
	MaxBodyBytes = 3<<20 + 64<<10
	// DefaultConcurrency bounds the reviews in work. One takes a tenth of a millisecond, so that the queue is long only if bodies arrive slowly.
	DefaultConcurrency = 64
	// maxWait is how long a review waits for its turn; the API server gives up after three seconds or so.
	maxWait = 2 * time.Second
	// keepBytes is the largest buffer that is kept for the next request; typical reviews have 8 KiB.
	keepBytes = 64 << 10
	// maxWaiting bounds the pods for which something is looked up. They wait beside the reviews in work, so that no other pod waits for them.
	maxWaiting = 64
	// maxLookup is how long a pod may wait, and lookupReserve how much of the API server's own patience is left to answer in.
	maxLookup     = 3 * time.Second
	lookupReserve = time.Second
)

// A Planner decides about pods.
type Planner interface {
	// Plan returns the plan, without waiting for anything. Where something has to be looked up first, it returns what does that and then plans: it waits until ctx is done at most, and
	// then refuses the pod.
	Plan(pod *mutate.Pod, namespace string, dryRun bool) (plan mutate.Plan, later func(ctx context.Context) mutate.Plan)
}

// Events hears what became of pods, after the answer. It does not block.
type Events interface {
	Decided(pod *mutate.Pod, namespace string, plan *mutate.Plan)
}

// Config of a [Handler].
type Config struct {
	Planner     Planner      // required
	Metrics     *Metrics     // required
	Events      Events       // not of dry runs; if nil, nobody hears
	Log         *slog.Logger // nil discards
	Concurrency int          // reviews in work at once; zero means [DefaultConcurrency]
}

// Handler serves [Path]. It is safe for concurrent use.
type Handler struct {
	cfg     Config
	slots   chan struct{}
	waiting chan struct{}
	buffers sync.Pool // of *[]byte
}

// NewHandler returns a Handler.
func NewHandler(cfg Config) *Handler {
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	return &Handler{cfg: cfg, slots: make(chan struct{}, cmp.Or(cfg.Concurrency, DefaultConcurrency)), waiting: make(chan struct{}, maxWaiting)}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		h.reject(w, http.StatusMethodNotAllowed, "reviews are posted")
		return
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		h.reject(w, http.StatusUnsupportedMediaType, "the content type is not application/json")
		return
	}
	if !h.acquire(r) {
		h.reject(w, http.StatusServiceUnavailable, "too many reviews are in work")
		return
	}
	release := sync.OnceFunc(func() { <-h.slots })
	defer release()
	h.cfg.Metrics.inFlight.Inc()
	defer h.cfg.Metrics.inFlight.Dec()

	buffer := h.buffer()
	defer h.keep(buffer)
	body, err := readAll(*buffer, http.MaxBytesReader(w, r.Body, MaxBodyBytes))
	*buffer = body
	if err != nil {
		code := http.StatusBadRequest
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			code = http.StatusRequestEntityTooLarge
		}
		h.reject(w, code, "the review could not be read")
		return
	}
	req, err := decode(body)
	if req == nil {
		h.cfg.Log.Warn("rejected a review", "err", err)
		h.reject(w, http.StatusBadRequest, "the body is not an AdmissionReview of "+apiVersion)
		return
	}
	plan, later := h.plan(req, err)
	if later != nil {
		release()
		plan = h.wait(r, req, later)
	}
	answer := h.buffer()
	defer h.keep(answer)
	*answer = appendResponse(*answer, req.UID, &plan)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(*answer) // the API server went away: nobody is left to tell
	h.record(req, &plan, time.Since(start))
}

// plan never panics.
func (h *Handler) plan(req *request, err error) (plan mutate.Plan, later func(context.Context) mutate.Plan) {
	defer h.survive(req, &plan)
	switch {
	case !req.createsPod():
		return mutate.Plan{Decision: mutate.Skipped, Reason: mutate.ReasonNotPodBirth}, nil
	case err != nil:
		return denied(mutate.ReasonMalformed, err.Error()), nil
	}
	return h.cfg.Planner.Plan(&req.Object, req.Namespace, req.DryRun)
}

// survive makes of a panic a plan: what a hostile pod makes of a mistake of ours is a refusal of that pod.
func (h *Handler) survive(req *request, plan *mutate.Plan) {
	if cause := recover(); cause != nil {
		h.cfg.Log.Error("planning panicked", "request_id", req.UID, "namespace", req.Namespace, "cause", cause, "stack", string(debug.Stack()))
		*plan = denied(mutate.ReasonInternal, "the injector met an unexpected error; see its log for request "+req.UID)
	}
}

// wait plans a pod for which something is looked up. It holds no place among the reviews in work, and never panics.
func (h *Handler) wait(r *http.Request, req *request, later func(context.Context) mutate.Plan) (plan mutate.Plan) {
	defer h.survive(req, &plan)
	select {
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return denied(mutate.ReasonImageConfigUnavailable, "images are being looked up for too many pods; try again")
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience(r))
	defer cancel()
	return later(ctx)
}

// patience is how long a lookup may take: the API server says how long it waits for the review.
func patience(r *http.Request) time.Duration {
	said, err := time.ParseDuration(r.URL.Query().Get("timeout"))
	if err != nil || said <= 0 {
		return maxLookup
	}
	return min(maxLookup, max(said-lookupReserve, said/2))
}

func denied(reason mutate.Reason, detail string) mutate.Plan {
	return mutate.Plan{Decision: mutate.Denied, Reason: reason, Problems: []mutate.Problem{{Reason: reason, Detail: detail}}}
}

// record writes the one event of an admission.
func (h *Handler) record(req *request, plan *mutate.Plan, took time.Duration) {
	h.cfg.Metrics.observe(plan, took)
	attrs := []any{
		"request_id", req.UID, "namespace", req.Namespace, "pod", cmp.Or(req.Object.Metadata.Name, req.Object.Metadata.GenerateName+"*"),
		"decision", plan.Decision, "reason", plan.Reason, "dry_run", req.DryRun, "duration_ms", float64(took.Microseconds()) / 1000,
	}
	if len(plan.Problems) > 0 {
		attrs = append(attrs, "detail", plan.Problems[0].Detail)
	}
	h.cfg.Log.Info("admission", attrs...)
	if h.cfg.Events != nil && !req.DryRun && req.createsPod() {
		h.cfg.Events.Decided(&req.Object, req.Namespace, plan)
	}
}

// reject answers a request that holds no review to answer to.
func (h *Handler) reject(w http.ResponseWriter, code int, text string) {
	h.cfg.Metrics.rejected(code)
	http.Error(w, text, code)
}

func (h *Handler) acquire(r *http.Request) bool {
	select {
	case h.slots <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case h.slots <- struct{}{}:
		return true
	case <-timer.C:
		return false
	case <-r.Context().Done():
		return false
	}
}

func (h *Handler) buffer() *[]byte {
	if b, ok := h.buffers.Get().(*[]byte); ok {
		*b = (*b)[:0]
		return b
	}
	b := make([]byte, 0, keepBytes/4)
	return &b
}

func (h *Handler) keep(b *[]byte) {
	if cap(*b) <= keepBytes {
		h.buffers.Put(b)
	}
}

// readAll is io.ReadAll into a buffer that is already there.
func readAll(b []byte, r io.Reader) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}
