// SPDX-License-Identifier: Apache-2.0

package injector

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/lanyard-dev/lanyard/injector/mutate"
)

// planner plans with the configuration and the names of this moment. Plan takes no lock.
type planner struct {
	view    func() mutate.Names // the names of this moment; nil if there never were any
	images  looker              // nil if nothing may be looked up
	mutator atomic.Pointer[mutate.Mutator]

	mu  sync.Mutex // guards cfg
	cfg mutate.Config
}

// Plan returns the plan of a pod, or what looks its images up first. A dry run has nobody asked.
func (p *planner) Plan(pod *mutate.Pod, namespace string, dryRun bool) (mutate.Plan, func(context.Context) mutate.Plan) {
	view := p.view()
	m := p.mutator.Load() // the same one after the lookup, for which it said what it needs
	if !dryRun {
		if lookup := m.Lookup(pod, namespace, view); lookup != nil {
			switch {
			case p.images == nil:
				return m.PlanWithImages(pod, namespace, view, unlooked(lookup)), nil
			case len(lookup.Architectures) == 0:
				return m.PlanWithImages(pod, namespace, view, mutate.Images{}), nil
			}
			return mutate.Plan{}, func(ctx context.Context) mutate.Plan {
				return m.PlanWithImages(pod, namespace, view, look(ctx, p.images, namespace, lookup))
			}
		}
	}
	return m.Plan(pod, namespace, view), nil
}

// change applies an edit to the configuration, or leaves everything as it is if the outcome is invalid.
func (p *planner) change(edit func(*mutate.Config)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	cfg := p.cfg
	edit(&cfg)
	m, err := mutate.New(cfg)
	if err != nil {
		return err
	}
	p.cfg = cfg
	p.mutator.Store(m)
	return nil
}

// maxCA bounds the bundle that is written into every pod. An ENV may have 128 KiB; a dozen certificates take 20.
const maxCA = 32 << 10

// loadCA reads the registry's CA from path.
func (p *planner) loadCA(path string) error {
	text, err := os.ReadFile(path)
	switch {
	case err != nil:
		return fmt.Errorf("reading the registry's CA: %w", err)
	case len(text) > maxCA:
		return fmt.Errorf("the registry's CA file has more than %d bytes", maxCA)
	case !x509.NewCertPool().AppendCertsFromPEM(text):
		return errors.New("the registry's CA file holds no certificate")
	}
	return p.change(func(c *mutate.Config) { c.CA = string(text) })
}

// loadPolicy reads the delivery policy from path.
func (p *planner) loadPolicy(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the policy: %w", err)
	}
	policy, err := mutate.ParsePolicy(text)
	if err != nil {
		return err
	}
	return p.change(func(c *mutate.Config) { c.Policy = policy })
}

// watch loads a file again whenever something happens beside it: the kubelet replaces a mounted file by swapping a symlink of its directory. A file that cannot
// be used leaves what it held last in place.
func (p *planner) watch(ctx context.Context, path string, load func(path string) error, log *slog.Logger) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching %s: %w", path, err)
	}
	defer watcher.Close()
	if err := watcher.Add(filepath.Dir(path)); err != nil {
		return fmt.Errorf("watching %s: %w", path, err)
	}
	often := time.NewTicker(time.Minute) // events may be lost
	defer often.Stop()
	for {
		if err := load(path); err != nil {
			log.Warn("keeping what the file held last", "path", path, "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-often.C:
		case <-watcher.Events:
		case err := <-watcher.Errors:
			log.Warn("watching a file", "path", path, "err", err)
		}
	}
}
