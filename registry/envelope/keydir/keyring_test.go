// SPDX-License-Identifier: Apache-2.0

package keydir

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/lanyard-dev/lanyard/registry/envelope"
)

var testContext = envelope.Context{Org: "org-1", Secret: "secret-1", Version: 1, Key: "/k"}

// sealer is what both a fixed and a followed ring offer to the store.
type sealer interface {
	Seal(envelope.Context, []byte) ([]byte, error)
	Open(envelope.Context, []byte) ([]byte, error)
	Rewrap(envelope.Context, []byte) ([]byte, bool, error)
	SealRecord(key, kind string, payload []byte) []byte
	OpenRecord(key, kind string, record []byte) ([]byte, error)
	Derive(purpose string) [32]byte
	DeriveFrom(id envelope.KID, purpose string) ([32]byte, error)
	KeyCheck(id envelope.KID) ([]byte, error)
	VerifyKeyCheck(id envelope.KID, kcv []byte) error
	Primary() envelope.KID
	KIDs() []envelope.KID
}

var _, _ sealer = (*envelope.Ring)(nil), (*Keyring)(nil)

func openKubelet(t testing.TB, g generation) (*kubelet, *Keyring) {
	t.Helper()
	k := &kubelet{dir: filepath.Join(t.TempDir(), "keys")}
	k.mustPublish(t, g.files)
	keys, err := Open(k.dir)
	if err != nil {
		t.Fatal(err)
	}
	return k, keys
}

func TestOpenRefusesADirectoryWithoutKeys(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: %v, want fs.ErrNotExist", err)
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrEmpty) {
		t.Errorf("empty directory: %v, want ErrEmpty", err)
	}
}

func TestAReloadThatFailsKeepsTheRing(t *testing.T) {
	first, second := newGeneration(t, 1), newGeneration(t, 2)
	k, keys := openKubelet(t, first)
	held := keys.Ring()

	if err := keys.Reload(); err != nil || keys.Ring() != held {
		t.Errorf("reloading what is loaded: %v, ring replaced %v", err, keys.Ring() != held)
	}
	k.mustPublish(t, map[string][]byte{"kek-0": []byte("half a k"), primaryFile: []byte("kek-0")})
	if err := keys.Reload(); !errors.Is(err, envelope.ErrKeyEncoding) || !errors.Is(keys.Err(), envelope.ErrKeyEncoding) {
		t.Errorf("bad key: Reload %v, Err %v, want ErrKeyEncoding", err, keys.Err())
	}
	if keys.Ring() != held {
		t.Error("the bad directory replaced the ring")
	}
	k.mustPublish(t, second.files)
	if err := keys.Reload(); err != nil || keys.Err() != nil || !keys.Ring().Equal(second.ring) {
		t.Errorf("good again: Reload %v, Err %v, new ring %v", err, keys.Err(), keys.Ring().Equal(second.ring))
	}
}

func TestAKeyringWorksWhileItsRingIsReplaced(t *testing.T) {
	first := newGeneration(t, 1)
	second := newGeneration(t, 2)
	// Both generations hold both primaries, as in any careful rotation.
	first.files["other"], second.files["other"] = second.files["kek-0"], first.files["kek-0"]
	k, keys := openKubelet(t, first)

	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				sealed, err := keys.Seal(testContext, []byte("value"))
				if err != nil {
					t.Error(err)
					return
				}
				record := keys.SealRecord("/k", "version", sealed)
				payload, err := keys.OpenRecord("/k", "version", record)
				if err != nil {
					t.Error(err)
					return
				}
				moved, _, err := keys.Rewrap(testContext, payload)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := keys.Open(testContext, moved); err != nil || string(got) != "value" {
					t.Errorf("Open = %q, %v", got, err)
					return
				}
			}
		})
	}
	for i := range 200 {
		k.mustPublish(t, []generation{second, first}[i%2].files)
		if err := keys.Reload(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
}

func TestARenderedKeyringShowsNoKey(t *testing.T) {
	g := newGeneration(t, 1)
	_, keys := openKubelet(t, g)
	text := strings.TrimSpace(string(g.files["kek-0"]))
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	out := string(b)
	for _, v := range []any{keys, struct{ k *Keyring }{keys}, struct{ K *Keyring }{keys}} {
		for _, verb := range "vTtbcdoOqxXUeEfFgGspw" {
			for _, flag := range []string{"", "+", "#"} {
				out += fmt.Sprintf("%"+flag+string(verb)+"\n", v)
			}
		}
	}
	part := raw[:8]
	for _, r := range []string{
		text, string(part), hex.EncodeToString(part), strings.ToUpper(hex.EncodeToString(part)),
		strings.Trim(fmt.Sprint(part), "[]"), strings.Trim(fmt.Sprintf("%b", part), "[]"),
		strings.Trim(fmt.Sprintf("%#x", part[:1]), "[]") + ", " + fmt.Sprintf("%#x", part[1]) + ", " + fmt.Sprintf("%#x", part[2]),
	} {
		if strings.Contains(out, r) {
			t.Error("a rendering shows key bytes")
		}
	}
}

func TestOpenTakesARelativeDirectory(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := Create("keys"); err != nil {
		t.Fatal(err)
	}
	keys, err := Open("./keys/")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(os.TempDir())
	if err := keys.Reload(); err != nil {
		t.Errorf("Reload after a change of directory: %v", err)
	}
}
