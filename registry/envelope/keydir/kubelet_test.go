// SPDX-License-Identifier: Apache-2.0

package keydir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/lanyard-dev/lanyard/registry/envelope"
)

// generation is one content of a Secret: every key in it is its own, so a mix
// of two generations, or a part of one, is recognizable.
type generation struct {
	files map[string][]byte
	ring  *envelope.Ring // what a reader must see
}

func newGeneration(t testing.TB, keys int) generation {
	t.Helper()
	g := generation{files: map[string][]byte{}}
	var parsed []envelope.Key
	for i := range keys {
		name := fmt.Sprintf("kek-%d", i)
		g.files[name] = envelope.NewKey()
		k, err := envelope.ParseKey(g.files[name])
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, k)
	}
	g.files[primaryFile] = []byte("kek-0\n")
	ring, err := envelope.NewRing(parsed[0], parsed[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	g.ring = ring
	return g
}

// kubelet writes a mounted Secret in the order of the kubelet's atomic writer:
// a new directory, a new link to it, the link moved over "..data", and only
// then the old directory removed.
type kubelet struct {
	dir     string
	writes  int
	current string
}

func (k *kubelet) publish(files map[string][]byte) error {
	k.writes++
	next := fmt.Sprintf("..2026_11_25_%09d", k.writes)
	if err := k.fill(next, files); err != nil {
		return err
	}
	if err := k.point(next); err != nil {
		return err
	}
	k.current = next
	for name := range files {
		err := os.Symlink(filepath.Join(dataLink, name), filepath.Join(k.dir, name))
		if err != nil && !os.IsExist(err) {
			return err
		}
	}
	return nil
}

func (k *kubelet) fill(name string, files map[string][]byte) error {
	if err := os.MkdirAll(filepath.Join(k.dir, name), 0o755); err != nil {
		return err
	}
	for file, content := range files {
		if err := os.WriteFile(filepath.Join(k.dir, name, file), content, 0o444); err != nil {
			return err
		}
	}
	return nil
}

// point moves the data link and removes what publish linked before.
func (k *kubelet) point(target string) error {
	tmp := filepath.Join(k.dir, "..data_tmp")
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(k.dir, dataLink)); err != nil {
		return err
	}
	old := k.current
	k.current = ""
	if old == "" {
		return nil
	}
	return os.RemoveAll(filepath.Join(k.dir, old))
}

func (k *kubelet) mustPublish(t testing.TB, files map[string][]byte) {
	t.Helper()
	if err := k.publish(files); err != nil {
		t.Fatal(err)
	}
}

// TestASecretReplacedWhileReadIsNeverHalfRead reads as fast as it can while
// the Secret is replaced 10⁴ times, with 1 to 4 keys. Every fifth copy is
// written for the occasion and removed by the next swap; between them the link
// moves among copies that stay, as fast as it can.
func TestASecretReplacedWhileReadIsNeverHalfRead(t *testing.T) {
	const swaps = 10_000
	generations := make([]generation, 8)
	for i := range generations {
		generations[i] = newGeneration(t, 1+i%4)
	}
	k := &kubelet{dir: t.TempDir()}
	k.mustPublish(t, generations[0].files)
	for i, g := range generations {
		if err := k.fill(fmt.Sprint("..stays-", i), g.files); err != nil {
			t.Fatal(err)
		}
	}

	done := make(chan error, 1)
	go func() {
		for i := range swaps {
			n := i % len(generations)
			var err error
			if i%5 == 0 {
				err = k.publish(generations[n].files)
			} else {
				err = k.point(fmt.Sprint("..stays-", n))
			}
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()

	whole, busy := 0, 0
	for {
		ring, err := Load(k.dir)
		switch {
		case err == nil && isOneOf(ring, generations):
			whole++
		case err == nil:
			t.Errorf("read a ring of %d keys that was never published", len(ring.KIDs()))
		case errors.Is(err, ErrBusy):
			busy++ // honest, if useless; no real kubelet is this quick
		default:
			t.Errorf("Load: %v", err)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			if whole == 0 || busy > whole {
				t.Errorf("%d whole reads and %d refused during %d swaps", whole, busy, swaps)
			}
			return
		default:
			if t.Failed() {
				t.Fatal(<-done)
			}
		}
	}
}

func isOneOf(ring *envelope.Ring, generations []generation) bool {
	for _, g := range generations {
		if ring.Equal(g.ring) {
			return true
		}
	}
	return false
}
