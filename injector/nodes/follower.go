// SPDX-License-Identifier: Apache-2.0

// Package nodes follows a cluster's nodes and tells what every node can do that a pod may come to. It keeps of each node what its versions say, its architecture and nothing else.
//
// A pod may come to any Linux node that is not cordoned: what a pod selects or tolerates is not looked at, so one old node is enough to be careful. What was
// learnt stays when the API server cannot be reached; that it is old is in the metrics.
package nodes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

const (
	// pageSize bounds what is held at once while listing: nodes carry the names of their images and take 20 KiB and more.
	pageSize = 250
	// listTimeout bounds one page.
	listTimeout = 30 * time.Second
	// watchTimeout is how long the API server is asked to keep a watch; up to twice that, so that replicas come at different times.
	watchTimeout = 5 * time.Minute
	// minBackoff and maxBackoff are between attempts after an error.
	minBackoff, maxBackoff = time.Second, time.Minute
)

// Client is what is asked of the API server.
type Client interface {
	List(ctx context.Context, options metav1.ListOptions) (*corev1.NodeList, error)
	Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
}

// Config of a [Follower].
type Config struct {
	Client Client
	// Changed is called with every new summary, one call at a time. It must not block for long.
	Changed func(Summary)
	Log     *slog.Logger
}

// A Follower keeps a [Summary]. Its methods are safe for concurrent use.
type Follower struct {
	cfg       Config
	summary   atomic.Pointer[Summary]
	connected atomic.Bool

	mu    sync.Mutex
	known map[string]facts // :: node → what it can do; only nodes a pod may come to
}

// New returns a Follower that knows nothing until [Follower.Run].
func New(cfg Config) *Follower { return &Follower{cfg: cfg} }

// Summary returns what was learnt last, or false if nothing ever was.
func (f *Follower) Summary() (Summary, bool) {
	s := f.summary.Load()
	if s == nil {
		return Summary{}, false
	}
	return *s, true
}

// Run follows until ctx is done.
func (f *Follower) Run(ctx context.Context) {
	backoff := minBackoff
	for ctx.Err() == nil {
		began := time.Now()
		err := f.follow(ctx)
		f.connected.Store(false)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > maxBackoff {
			backoff = minBackoff // all was well until a moment ago
		}
		pause := minBackoff/2 + rand.N(backoff)
		f.cfg.Log.Warn("following nodes", "err", err, "pause_ms", pause.Milliseconds())
		backoff = min(2*backoff, maxBackoff)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// follow lists all nodes and then takes in changes until it cannot.
func (f *Follower) follow(ctx context.Context) error {
	version, err := f.list(ctx)
	if err != nil {
		return err
	}
	for {
		f.connected.Store(true)
		began := time.Now()
		if version, err = f.watch(ctx, version); err != nil {
			return err
		}
		if time.Since(began) < minBackoff { // an API server that ends watches at once is not to be asked in a circle
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(minBackoff):
			}
		}
	}
}

func (f *Follower) list(ctx context.Context) (version string, err error) {
	known := make(map[string]facts)
	options := metav1.ListOptions{Limit: pageSize}
	for {
		page, err := f.page(ctx, options)
		if err != nil {
			return "", err
		}
		for i := range page.Items {
			if able, counts := read(&page.Items[i]); counts {
				known[page.Items[i].Name] = able
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			version = page.ResourceVersion
			break
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known = known
	f.tell()
	return version, nil
}

func (f *Follower) page(ctx context.Context, options metav1.ListOptions) (*corev1.NodeList, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	page, err := f.cfg.Client.List(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("listing nodes: %w", err)
	}
	return page, nil
}

var errMalformed = errors.New("malformed watch event")

// watch takes in changes after version until the API server ends the watch, and returns the version to go on from.
func (f *Follower) watch(ctx context.Context, version string) (string, error) {
	seconds := int64((watchTimeout + rand.N(watchTimeout)).Seconds())
	watcher, err := f.cfg.Client.Watch(ctx, metav1.ListOptions{ResourceVersion: version, AllowWatchBookmarks: true, TimeoutSeconds: &seconds})
	if err != nil {
		return version, fmt.Errorf("watching nodes: %w", err)
	}
	defer watcher.Stop()
	for event := range watcher.ResultChan() {
		if event.Type == watch.Error {
			return version, fmt.Errorf("watching nodes: %w", apierrors.FromObject(event.Object))
		}
		node, ok := event.Object.(*corev1.Node)
		if !ok {
			return version, fmt.Errorf("watching nodes: %w: %T", errMalformed, event.Object)
		}
		version = node.ResourceVersion
		if event.Type != watch.Bookmark {
			f.take(node, event.Type == watch.Deleted)
		}
	}
	return version, ctx.Err()
}

func (f *Follower) take(node *corev1.Node, deleted bool) {
	able, counts := read(node)
	counts = counts && !deleted
	f.mu.Lock()
	defer f.mu.Unlock()
	if before, known := f.known[node.Name]; known == counts && before == able || !known && !counts {
		return // as nearly always: a node tells of itself every few minutes
	}
	if counts {
		f.known[node.Name] = able
	} else {
		delete(f.known, node.Name)
	}
	f.tell()
}

// tell must be called with mu held.
func (f *Follower) tell() {
	s := summarize(f.known)
	f.summary.Store(&s)
	if f.cfg.Changed != nil {
		f.cfg.Changed(s)
	}
}
