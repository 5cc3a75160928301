// SPDX-License-Identifier: Apache-2.0

package envelope

import "errors"

var (
	// ErrCorrupt reports an envelope or record that was not written for this
	// context, key or kind, or was altered afterwards. It is the same for
	// every cause, so that it tells nobody which part did not match.
	ErrCorrupt = errors.New("envelope or record does not authenticate")

	// ErrFormat reports a version or algorithm this build does not know,
	// usually because a newer release wrote it.
	ErrFormat = errors.New("unknown envelope or record format")

	// ErrUnknownKey reports an envelope or record of a KEK that is not in the
	// ring. Every such error is an [*UnknownKeyError], which carries the kid.
	ErrUnknownKey = errors.New("key is not in the ring")

	// ErrContext reports a [Context] without an organization, secret or key.
	ErrContext = errors.New("incomplete context: org, secret and key are required")

	// ErrKeyCheck reports a key check value that the KEK of that kid did not
	// produce.
	ErrKeyCheck = errors.New("key check value does not match")
)

// UnknownKeyError names the KEK an operator has to bring back.
// errors.Is(err, ErrUnknownKey) holds.
type UnknownKeyError struct{ KID KID }

func (e *UnknownKeyError) Error() string { return "key " + e.KID.String() + " is not in the ring" }

func (e *UnknownKeyError) Unwrap() error { return ErrUnknownKey }
