// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"bytes"
	"fmt"
	"time"
)

// Keys of the shared Secret.
const (
	keyCurrentCert  = "ca.crt"
	keyCurrentKey   = "ca.key"
	keyNextCert     = "next.crt"
	keyNextKey      = "next.key"
	keyPreviousCert = "previous.crt"
)

// keyset is what the replicas share: the CA that signs, the one that will, and the one that did. All of them are trusted.
//
// A rotation passes through three states, each of them written to the Secret before it counts:
//
//	current                     until two thirds of the CA's life
//	current + next              next is published, and signs nothing yet
//	current + previous          after the overlap next signs; the key of previous is gone, its leaves end within pki.LeafLife
//	current                     when previous has expired
type keyset struct {
	current  *authority
	next     *authority
	previous *authority // without a key
}

// parseKeyset reads the data of the Secret.
func parseKeyset(data map[string][]byte) (*keyset, error) {
	var k keyset
	var err error
	if k.current, err = parseAuthority(data[keyCurrentCert], data[keyCurrentKey]); err != nil {
		return nil, fmt.Errorf("%s: %w", keyCurrentCert, err)
	}
	if k.current.ca == nil {
		return nil, fmt.Errorf("%s: %w", keyCurrentKey, errNoPair)
	}
	if len(data[keyNextCert]) > 0 {
		if k.next, err = parseAuthority(data[keyNextCert], data[keyNextKey]); err != nil {
			return nil, fmt.Errorf("%s: %w", keyNextCert, err)
		}
		if k.next.ca == nil {
			return nil, fmt.Errorf("%s: %w", keyNextKey, errNoPair)
		}
	}
	if len(data[keyPreviousCert]) > 0 {
		if k.previous, err = parseAuthority(data[keyPreviousCert], nil); err != nil {
			return nil, fmt.Errorf("%s: %w", keyPreviousCert, err)
		}
	}
	return &k, nil
}

// data is the reverse of [parseKeyset].
func (k *keyset) data() (map[string][]byte, error) {
	key, err := k.current.ca.KeyPEM()
	if err != nil {
		return nil, err
	}
	data := map[string][]byte{keyCurrentCert: k.current.pem, keyCurrentKey: key}
	if k.next != nil {
		if data[keyNextKey], err = k.next.ca.KeyPEM(); err != nil {
			return nil, err
		}
		data[keyNextCert] = k.next.pem
	}
	if k.previous != nil {
		data[keyPreviousCert] = k.previous.pem
	}
	return data, nil
}

// bundle is the PEM of all trusted CAs.
func (k *keyset) bundle() []byte {
	var b bytes.Buffer
	for _, a := range []*authority{k.current, k.next, k.previous} {
		if a != nil {
			b.Write(a.pem)
		}
	}
	return b.Bytes()
}

// trusts reports whether one of the CAs signed the leaf.
func (k *keyset) trusts(leaf *leaf) bool {
	for _, a := range []*authority{k.current, k.next, k.previous} {
		if a != nil && a.signed(leaf.Leaf) {
			return true
		}
	}
	return false
}

// advance returns the state the keyset should be in, and whether that is another one. Next is only promoted if it is in the bundle the API server uses.
func (k *keyset) advance(host string, inUse []byte, now time.Time) (*keyset, bool, error) {
	switch {
	case k.current.expired(now): // every replica slept through the rotation: what there was is worth nothing
		fresh, err := newAuthority(host, now)
		return &keyset{current: fresh}, true, err
	case k.previous != nil && k.previous.expired(now):
		return &keyset{current: k.current, next: k.next}, true, nil
	case k.next == nil && k.current.due(now):
		next, err := newAuthority(host, now)
		return &keyset{current: k.current, next: next, previous: k.previous}, true, err
	case k.next != nil && k.next.published(now) && bytes.Contains(inUse, k.next.pem):
		return &keyset{current: k.next, previous: &authority{cert: k.current.cert, pem: k.current.pem}}, true, nil
	}
	return k, false, nil
}
