// SPDX-License-Identifier: Apache-2.0

package keydir

import (
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lanyard-dev/lanyard/registry/envelope"
)

// Keyring is the ring that a directory holds now, or held when it was last
// right. It has the methods of [envelope.Ring]; each call uses one ring from
// start to end. It is safe for concurrent use. The zero Keyring is not usable;
// [Open] makes one.
type Keyring struct {
	dir  string
	ring atomic.Pointer[envelope.Ring] // never nil

	reloading sync.Mutex // serializes Reload
	failure   atomic.Pointer[error]

	fallback time.Duration
}

// Open loads dir, with the errors of [Load]. Changes are seen only by
// [Keyring.Reload] and while [Keyring.Watch] runs. There is nothing to close.
func Open(dir string) (*Keyring, error) {
	// Watched events carry the path as it was given; a clean absolute one
	// compares, and has a parent.
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	ring, err := Load(dir)
	if err != nil {
		return nil, err
	}
	k := &Keyring{dir: dir, fallback: time.Minute}
	k.ring.Store(ring)
	return k, nil
}

// Ring returns the ring in use. Hold it for the length of one operation that
// must see one ring throughout, not longer.
func (k *Keyring) Ring() *envelope.Ring { return k.ring.Load() }

// Err returns nil if the ring in use is what the directory held when it was
// last looked at, and otherwise why the directory could not be loaded or
// watched. It is meant for health and never holds key material.
func (k *Keyring) Err() error {
	if p := k.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// Reload looks at the directory now. If it cannot be loaded, the ring in use
// stays, and Reload and [Keyring.Err] return the error of [Load].
func (k *Keyring) Reload() error {
	k.reloading.Lock()
	defer k.reloading.Unlock()
	ring, err := Load(k.dir)
	if err != nil {
		k.failure.Store(&err)
		return err
	}
	k.failure.Store(nil)
	if !ring.Equal(k.ring.Load()) { // else keep the warm one
		k.ring.Store(ring)
	}
	return nil
}

// Seal is [envelope.Ring.Seal].
func (k *Keyring) Seal(c envelope.Context, plaintext []byte) ([]byte, error) {
	return k.Ring().Seal(c, plaintext)
}

// Open is [envelope.Ring.Open].
func (k *Keyring) Open(c envelope.Context, sealed []byte) ([]byte, error) {
	return k.Ring().Open(c, sealed)
}

// Rewrap is [envelope.Ring.Rewrap].
func (k *Keyring) Rewrap(c envelope.Context, sealed []byte) (rewrapped []byte, changed bool, err error) {
	return k.Ring().Rewrap(c, sealed)
}

// SealRecord is [envelope.Ring.SealRecord].
func (k *Keyring) SealRecord(key, kind string, payload []byte) []byte {
	return k.Ring().SealRecord(key, kind, payload)
}

// OpenRecord is [envelope.Ring.OpenRecord].
func (k *Keyring) OpenRecord(key, kind string, record []byte) (payload []byte, err error) {
	return k.Ring().OpenRecord(key, kind, record)
}

// Derive is [envelope.Ring.Derive].
func (k *Keyring) Derive(purpose string) [32]byte { return k.Ring().Derive(purpose) }

// DeriveFrom is [envelope.Ring.DeriveFrom].
func (k *Keyring) DeriveFrom(id envelope.KID, purpose string) ([32]byte, error) {
	return k.Ring().DeriveFrom(id, purpose)
}

// KeyCheck is [envelope.Ring.KeyCheck].
func (k *Keyring) KeyCheck(id envelope.KID) ([]byte, error) { return k.Ring().KeyCheck(id) }

// VerifyKeyCheck is [envelope.Ring.VerifyKeyCheck].
func (k *Keyring) VerifyKeyCheck(id envelope.KID, kcv []byte) error {
	return k.Ring().VerifyKeyCheck(id, kcv)
}

// Primary is [envelope.Ring.Primary].
func (k *Keyring) Primary() envelope.KID { return k.Ring().Primary() }

// KIDs is [envelope.Ring.KIDs].
func (k *Keyring) KIDs() []envelope.KID { return k.Ring().KIDs() }
