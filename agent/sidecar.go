// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"github.com/lanyard-dev/lanyard/agent/internal/fetch"
	"github.com/lanyard-dev/lanyard/agent/internal/projection"
	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

const (
	// refreshDeadline is how long one look for other values may take: one slow try, or a handful of quick ones. The next look comes anyway.
	refreshDeadline = 15 * time.Second
	// firstPause is the pause after a look that failed, or a container that could not be told. It doubles with each failure in a row, up to the interval: what is
	// down for a moment is found soon, and what stays down is asked for no more often than what is up.
	firstPause = 15 * time.Second
	// keptDeadline is how long a sidecar that was restarted looks for values before it settles for the files it finds: while it has not started, the whole pod is
	// not ready.
	keptDeadline = fetch.TryTimeout
	// settle is how long the files that were replaced stay for readers that are on their way to them.
	settle = 5 * time.Second
)

// Sidecar writes the values of the pod's containers as [Run] does, says so to [Started], and goes on looking for others until ctx ends. It then returns nil at
// once, in the middle of whatever it does but the swapping of files, so that a Job ends with its own containers.
//
// Before the first values are written, an error is as one of Run. After that only a [Refresh] by restart ends it, with [ExitRestart]: a look that fails, because
// the registry is away or says no, leaves the files as they are. So do first looks of a sidecar that was restarted and finds all files in place.
func Sidecar(ctx context.Context, c Config) error {
	s := newSidecar(c, fetch.NewTransport(c.CA, c.ServerName), reloadTransport())
	if err := s.start(ctx); err != nil {
		return err
	}
	return s.follow(ctx)
}

type sidecar struct {
	config Config
	client *fetch.Client
	reload http.RoundTripper
	log    *slog.Logger
	dirs   []string // with the files of each container
	proc   string   // where processes are; tests have another

	mark     string // of the values in the files; empty if it is not known
	failures int    // looks in a row
	untold   int    // failures in a row to tell the containers

	refreshAt time.Time
	tellAt    time.Time // zero if there is nothing to tell
	tidyAt    time.Time // zero if there is nothing to tidy
}

func newSidecar(c Config, registry, reload http.RoundTripper) *sidecar {
	s := &sidecar{config: c, log: c.logger(), reload: reload, proc: "/proc"}
	s.client = &fetch.Client{URL: c.URL, Transport: registry, TokenFile: c.TokenFile, Logger: s.log}
	for _, container := range c.Request.Containers {
		s.dirs = append(s.dirs, filepath.Join(c.ValuesDir, container.Name))
	}
	return s
}

// start writes the first values.
func (s *sidecar) start(ctx context.Context) error {
	kept, limit := s.complete(), s.config.Deadline
	if kept {
		limit = min(limit, keptDeadline)
	}
	changed, err := s.look(ctx, limit)
	switch {
	case err == nil:
		s.log.LogAttrs(ctx, slog.LevelInfo, "values written", slog.Int("containers", len(s.dirs)))
	case !kept || ctx.Err() != nil:
		return err
	default:
		s.failed(ctx, err)
	}
	if err := writeTerminationLog(s.config.TerminationLog, startedMessage); err != nil {
		return writeFailure(err)
	}
	now := time.Now()
	s.refreshAt, s.tidyAt = now.Add(s.pause()), now.Add(settle)
	if kept && changed { // a container may be running with the files of before
		s.tellAt = now
	}
	return nil
}

// follow does what is due, until ctx ends.
func (s *sidecar) follow(ctx context.Context) error {
	for {
		next := s.refreshAt
		for _, at := range []time.Time{s.tellAt, s.tidyAt} {
			if !at.IsZero() && at.Before(next) {
				next = at
			}
		}
		if !sleepUntil(ctx, next) {
			return nil
		}
		now := time.Now()
		due := func(at time.Time) bool { return !at.IsZero() && !at.After(now) }
		switch {
		case due(s.tellAt):
			if err := s.tell(ctx); err != nil {
				return err
			}
		case due(s.tidyAt):
			s.tidyAt = time.Time{}
			s.tidy(ctx)
		default:
			s.refresh(ctx)
		}
	}
}

// refresh is one look for other values, and what follows from it.
func (s *sidecar) refresh(ctx context.Context) {
	changed, err := s.look(ctx, refreshDeadline)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.failed(ctx, err)
	default:
		if s.failures > 0 {
			s.log.LogAttrs(ctx, slog.LevelInfo, "refresh works again", slog.Int("failures", s.failures))
		}
		s.failures = 0
	}
	// A look leaves 200 KiB of garbage, and the first collection would come at 4 MiB, as much again as the sidecar needs. What net/http kept of values goes with it.
	debug.FreeOSMemory()
	now := time.Now()
	s.refreshAt = now.Add(s.pause())
	if changed {
		s.log.LogAttrs(ctx, slog.LevelInfo, "values refreshed", slog.Int("containers", len(s.dirs)))
		s.untold, s.tellAt, s.tidyAt = 0, now, now.Add(settle)
	}
}

// look asks the registry for other values than those in the files, and writes them. An error is a [*Failure].
func (s *sidecar) look(ctx context.Context, limit time.Duration) (changed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	request := s.config.Request
	switch {
	case !s.complete(): // the first look, or somebody took files away
	case s.mark == "": // of a restarted sidecar
		request.Mark = wire.UnknownMark
	default:
		request.Mark = s.mark
	}
	answer, err := s.client.Resolve(ctx, &request)
	if err != nil {
		return false, resolveFailure(err)
	}
	defer fetch.Wipe(answer)
	if answer.Unchanged {
		return false, nil
	}
	sets, err := render(&s.config, answer)
	if err != nil {
		return false, err
	}
	writing, stop := untilSignal(ctx)
	defer stop()
	changed, err = projection.Swap(writing, sets)
	if err != nil {
		s.mark = ""
		return changed, writeFailure(err)
	}
	s.mark = answer.Mark
	return changed, nil
}

func (s *sidecar) complete() bool {
	for i, container := range s.config.Request.Containers {
		names := slices.Clone(container.Names())
		for _, format := range s.config.Bundles {
			names = append(names, podspec.BundleFile(format))
		}
		if !projection.Complete(s.dirs[i], names) {
			return false
		}
	}
	return true
}

// failed notes and tells that a look came to nothing.
func (s *sidecar) failed(ctx context.Context, err error) {
	s.failures++
	level, attrs := slog.LevelError, []slog.Attr{slog.Int("failures", s.failures), slog.String("err", err.Error())}
	if failure := (*Failure)(nil); errors.As(err, &failure) {
		if failure.Exit == ExitUnreachable { // which passes, as a rule
			level = slog.LevelWarn
		}
		attrs = append(attrs, slog.String("reason", failure.Exit.Info().Name))
	}
	s.log.LogAttrs(ctx, level, "refresh failed, the files stay as they are", attrs...)
}

// tell tells the containers of their new files. An error ends the sidecar.
func (s *sidecar) tell(ctx context.Context) error {
	s.tellAt = time.Time{}
	if s.config.Refresh.Restart {
		s.tidy(ctx)
		return &Failure{Exit: ExitRestart, Err: errors.New("there are other values, and the containers are to be restarted for them")}
	}
	s.told(ctx, s.notify(ctx))
	return nil
}

// told notes what became of telling the containers.
func (s *sidecar) told(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.untold++
		s.tellAt = time.Now().Add(jitter(backedOff(s.untold, s.config.Refresh.Interval)))
		s.log.LogAttrs(ctx, slog.LevelError, "containers not told of new files", slog.Int("failures", s.untold), slog.String("err", err.Error()))
	case s.config.Refresh.URL != "" || s.config.Refresh.Signal != 0:
		s.log.LogAttrs(ctx, slog.LevelInfo, "containers told of new files")
	}
}

func (s *sidecar) tidy(ctx context.Context) {
	if err := projection.Tidy(s.dirs); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "replaced files not removed", slog.String("err", err.Error()))
	}
}

// pause is the one before the next look.
func (s *sidecar) pause() time.Duration {
	if s.failures == 0 {
		return jitter(s.config.Refresh.Interval)
	}
	return jitter(backedOff(s.failures, s.config.Refresh.Interval))
}

// backedOff doubles the pause with every failure.
func backedOff(failures int, interval time.Duration) time.Duration {
	pause := firstPause
	for range failures - 1 {
		if pause >= interval {
			break
		}
		pause *= 2
	}
	return min(pause, interval)
}

// jitter makes d up to a tenth shorter or longer, so that pods that began together drift apart.
func jitter(d time.Duration) time.Duration {
	tenth := d / 10
	return d - tenth + rand.N(2*tenth+1)
}

// sleepUntil waits and reports whether ctx is still alive then.
func sleepUntil(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
