// SPDX-License-Identifier: Apache-2.0

package keydir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lanyard-dev/lanyard/registry/envelope"
)

// patience bounds the wait for the kernel to deliver a file event.
const patience = 20 * time.Second

type notice struct {
	ring *envelope.Ring
	err  error
}

// watch runs keys.Watch until the test ends and checks that it ends cleanly.
func watch(t *testing.T, keys *Keyring) <-chan notice {
	t.Helper()
	before := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(t.Context())
	notices := make(chan notice, 1000)
	ended := make(chan error, 1)
	go func() {
		ended <- keys.Watch(ctx, func(r *envelope.Ring, err error) { notices <- notice{r, err} })
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Watch: %v, want nil once ctx is done", err)
			}
		case <-time.After(patience):
			t.Error("Watch did not end with ctx")
		}
		goleak.VerifyNone(t, before)
	})
	return notices
}

// await returns the first notice that is good, skipping what was seen midway.
func await(t *testing.T, notices <-chan notice, what string, good func(notice) bool) notice {
	t.Helper()
	deadline := time.After(patience)
	var last notice
	for {
		select {
		case last = <-notices:
			if good(last) {
				return last
			}
		case <-deadline:
			t.Fatalf("not notified of %s; last error %v", what, last.err)
		}
	}
}

func serves(g generation) func(notice) bool {
	return func(n notice) bool { return n.err == nil && n.ring.Equal(g.ring) }
}

func fails(want error) func(notice) bool {
	return func(n notice) bool { return errors.Is(n.err, want) }
}

func TestWatchFollowsAReplacedSecret(t *testing.T) {
	k, keys := openKubelet(t, newGeneration(t, 1))
	notices := watch(t, keys)
	for i := range 20 {
		g := newGeneration(t, 1+i%3)
		k.mustPublish(t, g.files)
		await(t, notices, "a new generation", serves(g))
		if !keys.Ring().Equal(g.ring) || keys.Err() != nil {
			t.Fatalf("generation %d: not in use when notified (%v)", i, keys.Err())
		}
	}
}

func TestWatchSeesWhatChangedBeforeIt(t *testing.T) {
	k, keys := openKubelet(t, newGeneration(t, 1))
	g := newGeneration(t, 2)
	k.mustPublish(t, g.files)
	await(t, watch(t, keys), "the change before Watch", serves(g))
}

func TestWatchKeepsTheRingAndReportsWhatIsWrong(t *testing.T) {
	first, second := newGeneration(t, 1), newGeneration(t, 2)
	k, keys := openKubelet(t, first)
	notices := watch(t, keys)

	k.mustPublish(t, map[string][]byte{"kek-0": first.files["kek-0"]})
	n := await(t, notices, "the missing primary", fails(ErrNoPrimary))
	if !n.ring.Equal(first.ring) || !errors.Is(keys.Err(), ErrNoPrimary) {
		t.Errorf("ring kept %v, Err %v", n.ring.Equal(first.ring), keys.Err())
	}
	k.mustPublish(t, map[string][]byte{"kek-0": []byte("x"), primaryFile: []byte("kek-0")})
	await(t, notices, "another fault", fails(envelope.ErrKeyEncoding))

	k.mustPublish(t, first.files)
	await(t, notices, "the recovery to the same ring", serves(first))
	if keys.Err() != nil {
		t.Errorf("Err after the recovery: %v", keys.Err())
	}
	k.mustPublish(t, second.files)
	await(t, notices, "the next ring", serves(second))
}

func TestWatchSurvivesADirectoryThatGoesAndComesBack(t *testing.T) {
	first, second, third := newGeneration(t, 1), newGeneration(t, 2), newGeneration(t, 3)
	k, keys := openKubelet(t, first)
	notices := watch(t, keys)

	if err := os.Rename(k.dir, k.dir+".away"); err != nil {
		t.Fatal(err)
	}
	await(t, notices, "the directory moved away", fails(fs.ErrNotExist))
	if err := os.Rename(k.dir+".away", k.dir); err != nil {
		t.Fatal(err)
	}
	await(t, notices, "the directory moved back", serves(first))

	if err := os.RemoveAll(k.dir); err != nil {
		t.Fatal(err)
	}
	await(t, notices, "the directory removed", fails(fs.ErrNotExist))
	back := &kubelet{dir: k.dir}
	back.mustPublish(t, second.files)
	await(t, notices, "the directory made anew", serves(second))
	back.mustPublish(t, third.files)
	await(t, notices, "a change in the new directory", serves(third))
}

func TestWatchSurvivesAParentThatGoesAndComesBack(t *testing.T) {
	first, second := newGeneration(t, 1), newGeneration(t, 2)
	k := &kubelet{dir: filepath.Join(t.TempDir(), "parent", "keys")}
	k.mustPublish(t, first.files)
	keys, err := Open(k.dir)
	if err != nil {
		t.Fatal(err)
	}
	keys.fallback = 10 * time.Millisecond // no event can tell; the slow look does
	notices := watch(t, keys)
	if err := os.RemoveAll(filepath.Dir(k.dir)); err != nil {
		t.Fatal(err)
	}
	await(t, notices, "the parent removed", fails(fs.ErrNotExist))
	back := &kubelet{dir: k.dir}
	back.mustPublish(t, second.files)
	await(t, notices, "the parent made anew", serves(second))
}

func TestWatchFollowsADirectoryThatIsALink(t *testing.T) {
	first, second, third := newGeneration(t, 1), newGeneration(t, 2), newGeneration(t, 3)
	base := t.TempDir()
	for name, g := range map[string]generation{"a": first, "b": second} {
		(&kubelet{dir: filepath.Join(base, name)}).mustPublish(t, g.files)
	}
	keysLink, tmp := filepath.Join(base, "keys"), filepath.Join(base, "tmp")
	if err := os.Symlink("a", keysLink); err != nil {
		t.Fatal(err)
	}
	keys, err := Open(keysLink)
	if err != nil {
		t.Fatal(err)
	}
	notices := watch(t, keys)
	if err := errors.Join(os.Symlink("b", tmp), os.Rename(tmp, keysLink)); err != nil {
		t.Fatal(err)
	}
	await(t, notices, "the link moved", serves(second))
	(&kubelet{dir: filepath.Join(base, "b"), writes: 1}).mustPublish(t, third.files)
	await(t, notices, "a change where the link leads now", serves(third))
}

// TestWatchFollowsAPlainDirectory edits files as people and tools do.
func TestWatchFollowsAPlainDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if err := Create(dir); err != nil {
		t.Fatal(err)
	}
	keys, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	notices := watch(t, keys)
	next := envelope.NewKey()
	id := keyOf(t, next)

	write(t, filepath.Join(dir, "kek-2"), next)
	await(t, notices, "a key added", func(n notice) bool { return n.err == nil && len(n.ring.KIDs()) == 2 })

	// An editor writes a hidden file and moves it over the old one.
	write(t, filepath.Join(dir, ".primary.swp"), []byte("kek-2\n"))
	if err := os.Rename(filepath.Join(dir, ".primary.swp"), filepath.Join(dir, primaryFile)); err != nil {
		t.Fatal(err)
	}
	await(t, notices, "another primary", func(n notice) bool { return n.err == nil && n.ring.Primary() == id })

	if err := os.Remove(filepath.Join(dir, "kek-1")); err != nil {
		t.Fatal(err)
	}
	await(t, notices, "a key removed", func(n notice) bool { return n.err == nil && len(n.ring.KIDs()) == 1 })

	if err := os.Truncate(filepath.Join(dir, "kek-2"), 10); err != nil {
		t.Fatal(err)
	}
	n := await(t, notices, "a truncated key", fails(envelope.ErrKeyEncoding))
	if n.ring.Primary() != id {
		t.Error("the truncated key replaced the ring")
	}
}

func TestWatchIsSilentWhileNothingChanges(t *testing.T) {
	g, other := newGeneration(t, 1), newGeneration(t, 1)
	k, keys := openKubelet(t, g)
	notices := watch(t, keys)
	held := keys.Ring()
	for range 10 {
		k.mustPublish(t, g.files) // new copies of the same keys
	}
	write(t, filepath.Join(filepath.Dir(k.dir), "neighbour"), []byte("x"))
	k.mustPublish(t, other.files)
	// Notices come in order, so one of the first ten would come before this one.
	if n := <-notices; n.err != nil || n.ring == held || !n.ring.Equal(other.ring) {
		t.Errorf("first notice is not the first change: %v", n.err)
	}
}
