// SPDX-License-Identifier: Apache-2.0

package keydir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/lanyard-dev/lanyard/registry/envelope"
)

// Watch follows the directory until ctx is done, then returns nil. It blocks;
// run one at a time. Changes made since [Open] are picked up at the start.
//
// Whenever a look at the directory ends otherwise than the one before, notify
// is called, if not nil, from this goroutine: with the ring in use, and with
// nil or the reason why the directory could not be loaded or watched. A
// directory that is missing, moved, or wrong leaves the ring as it is; the
// next right one replaces it.
//
// Changes arrive as file events. A look once a minute, changed or not, covers
// what events miss: an overflowed queue, a parent directory that is gone, a
// file system without events.
//
// Watch returns an error only if the system refuses to create a watcher.
func (k *Keyring) Watch(ctx context.Context, notify func(*envelope.Ring, error)) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching key directory %q: %w", k.dir, err)
	}
	defer w.Close()
	tick := time.NewTicker(k.fallback)
	defer tick.Stop()

	for {
		ring, was := k.Ring(), k.Err()
		// Subscribe before looking: what changes after the look is an event.
		now := k.follow(w)
		if err := k.Reload(); err != nil {
			now = err
		} else if now != nil {
			k.failure.Store(&now)
		}
		if notify != nil && (ring != k.Ring() || !sameText(was, now)) {
			notify(k.Ring(), now)
		}
		if !k.await(ctx, w, tick.C) {
			return nil
		}
	}
}

// follow (re-)subscribes to the directory and to its parent, which tells when
// the directory itself is created, replaced or removed. Subscribing twice
// changes nothing, and a path that now leads elsewhere is followed there.
//
// A missing directory is not an error here: loading it says so better.
func (k *Keyring) follow(w *fsnotify.Watcher) error {
	err := errors.Join(w.Add(filepath.Dir(k.dir)), w.Add(k.dir))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("watching key directory %q: %w", k.dir, err)
}

// await reports whether to look again; false once ctx is done.
func (k *Keyring) await(ctx context.Context, w *fsnotify.Watcher, tick <-chan time.Time) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick:
			return true
		case <-w.Errors: //nolint:errcheck // it says only that events were lost
			return true
		case e := <-w.Events:
			if !k.concerns(e) {
				continue
			}
		}
		// One swap is several events; one look covers all that are here already.
		for {
			select {
			case <-w.Events:
				continue
			default:
			}
			return true
		}
	}
}

// concerns leaves out the neighbours of the directory.
func (k *Keyring) concerns(e fsnotify.Event) bool {
	return e.Name == k.dir || filepath.Dir(e.Name) == k.dir
}

func sameText(a, b error) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Error() == b.Error()
}
