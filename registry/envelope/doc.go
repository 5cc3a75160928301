// SPDX-License-Identifier: Apache-2.0

// Package envelope encrypts secret values and authenticates every record
// Lanyard keeps in etcd.
//
// Two formats live here, both keyed by a [Ring] of key-encryption keys (KEKs):
//
//   - an envelope ([Ring.Seal], [Ring.Open]) hides and protects one version of
//     one secret, and opens only under the [Context] it was sealed for;
//   - a record ([Ring.SealRecord], [Ring.OpenRecord]) does not hide its
//     payload, but proves that a holder of a KEK wrote that payload, of that
//     kind, under that etcd key.
//
// Whoever can write to etcd but holds no KEK can therefore neither read a
// value nor move, edit, truncate or invent a value, binding or provider.
//
// What the package does not promise: it hides neither the existence, the
// kid, nor the exact length of a value (values are at most 64 KiB and are not
// padded); it does not notice that a key was rolled back to something that
// same key held before (the store compares revisions and an outside anchor);
// and Go cannot erase the AES key schedules and hash states the standard
// library keeps until they are collected, although every key slice held here
// is cleared after use.
//
// The package is pure: it opens no file and reads no clock. Its only ambient
// input is crypto/rand. Package keydir loads a Ring from a mounted directory
// and follows it.
//
// # Envelope, version 1
//
//	version(1)=1 | alg(1)=1 | kid(8) | wsalt(32) | wnonce(12) | wrapped DEK(32+16)
//	             | commit(16) | vnonce(12) | ciphertext(n) | tag(16)
//
//	context = TLV(schema "lanyard/v1", org, secret, version, etcd key)
//	wrapped = AES-256-GCM(HKDF(KEK, salt=wsalt, "lanyard/v1/wrap" ‖ TLV(version ‖ alg ‖ kid, context)), wnonce, DEK)
//	commit  = HKDF-Expand(DEK, "lanyard/v1/commit" ‖ context)[:16]
//	value   = AES-256-GCM(HKDF-Expand(DEK, "lanyard/v1/enc" ‖ context), vnonce, plaintext)
//
// The same TLV is also the additional data of its AES-GCM call. HKDF is over
// SHA-256. The DEK is random and belongs to one version. A fresh salt gives a
// fresh wrap key, so no number of writes exhausts a KEK's nonces.
//
// # Record, version 1
//
//	version(1)=1 | kid(8) | tag(32) | payload(n)
//
//	tag = HMAC-SHA256(HKDF(KEK, "lanyard/v1/mac"), "lanyard/v1/rec" ‖ TLV(etcd key, kind, payload))
//
// # Encoding
//
// TLV(a, b, …) writes each field as its position (1 byte, from 1), its length
// (8 bytes, big endian) and its bytes. Labels are not length-prefixed: none is
// a prefix of another and no label contains a byte that can start a TLV.
//
// A published format never changes; a new one takes the next version byte, and
// testdata keeps envelopes of every version that must still open.
package envelope
