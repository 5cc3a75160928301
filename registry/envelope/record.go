// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
)

const (
	recordHeaderSize = 1 + len(KID{}) // version, kid
	recordMinSize    = recordHeaderSize + sha256.Size
)

// RecordOverhead is how much longer a record is than its payload: version 1,
// kid 8, tag 32.
const RecordOverhead = recordMinSize

// SealRecord returns payload with a MAC that binds it to the etcd key it will
// be stored under and to what kind of object it is. The payload itself stays
// readable. Payload is copied; the caller owns the result.
func (r *Ring) SealRecord(key, kind string, payload []byte) []byte {
	k := r.keys().primary
	out := make([]byte, recordMinSize, recordMinSize+len(payload))
	out[0] = version1
	copy(out[1:], k.kid[:])
	m := k.macs.Get().(*recordMAC)
	copy(out[recordHeaderSize:], m.tag(key, kind, payload))
	k.macs.Put(m)
	return append(out, payload...)
}

// OpenRecord verifies a record read from the given etcd key and returns its
// payload. The payload aliases record, with its capacity clipped: it lives as
// long as record and must not outlast the caller's right to keep that. Nothing
// is allocated. Work is linear in the record's length.
//
// A valid record proves that a holder of the KEK once wrote it to this key,
// not that it is the latest one. It returns [ErrFormat], an [*UnknownKeyError]
// or [ErrCorrupt].
func (r *Ring) OpenRecord(key, kind string, record []byte) (payload []byte, err error) {
	id, err := RecordKID(record)
	if err != nil {
		return nil, err
	}
	k, err := r.key(id)
	if err != nil {
		return nil, err
	}
	payload = record[recordMinSize:len(record):len(record)]
	m := k.macs.Get().(*recordMAC)
	ok := hmac.Equal(m.tag(key, kind, payload), record[recordHeaderSize:recordMinSize])
	k.macs.Put(m)
	if !ok {
		return nil, ErrCorrupt
	}
	return payload, nil
}

// RecordKID returns the key a record is authenticated by, without verifying
// it: use it to plan a rotation, which opens each record of another kid than
// the primary and seals it again. It returns [ErrFormat], or [ErrCorrupt] if
// the record is too short to be one.
func RecordKID(record []byte) (KID, error) {
	switch {
	case len(record) >= 1 && record[0] != version1:
		return KID{}, ErrFormat
	case len(record) < recordMinSize:
		return KID{}, ErrCorrupt
	}
	return KID(record[1:recordHeaderSize]), nil
}

// recordMAC is reused through kek.macs: the first Reset of an HMAC saves the
// state after its key blocks, and later ones restore it, which halves the cost
// of a short record.
type recordMAC struct {
	hash   hash.Hash
	prefix []byte
	sum    [sha256.Size]byte
}

// tag returns the MAC of a record. The result is valid until the next call.
func (m *recordMAC) tag(key, kind string, payload []byte) []byte {
	m.prefix = append(m.prefix[:0], labelRecord...)
	m.prefix = appendField(m.prefix, 1, key)
	m.prefix = appendField(m.prefix, 2, kind)
	m.prefix = appendHeader(m.prefix, 3, len(payload))
	m.hash.Reset()
	m.hash.Write(m.prefix)
	m.hash.Write(payload)
	return m.hash.Sum(m.sum[:0])
}
