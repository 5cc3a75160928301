// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
)

// Errors of the store, to be compared with errors.Is. None of their texts contains a value.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("already exists")
	// ErrConflict means that the object is not at the revision the caller expected; see [ConflictError].
	ErrConflict = errors.New("changed since it was read")
	// ErrInvalid means that a field breaks a rule; see [FieldError].
	ErrInvalid = errors.New("invalid")
	// ErrReferenced means that something still uses the object; see [ReferencedError].
	ErrReferenced = errors.New("still referenced")
	// ErrLastOwner means that the organization would be left without an owner.
	ErrLastOwner = errors.New("last owner of the organization")
	// ErrLastAdministrator means that the installation would be left without an administrator.
	ErrLastAdministrator = errors.New("last administrator of the installation")
	// ErrIntegrity means that a record is corrupt or was written by somebody without the key.
	ErrIntegrity = errors.New("record does not verify")
	// ErrUnavailable means that etcd did not answer in time. A write that ends with it has an unknown outcome.
	ErrUnavailable = errors.New("store unavailable")
	// ErrAudit means that the event of a change was not accepted outside etcd. Nothing was changed.
	ErrAudit = errors.New("audit event not accepted")
	// ErrKey means that a key-encryption key is missing from the ring.
	ErrKey = errors.New("key unavailable")
)

// FieldError says which field breaks which rule. It wraps [ErrInvalid].
type FieldError struct {
	Pointer string // JSON pointer into the API's request body, e.g. "/envs/3/name"
	Code    string // "required", "too_long", "duplicate", "reserved", "syntax", "unknown", …
	Message string // for people: the rule and the fix
}

func (e *FieldError) Error() string { return fmt.Sprintf("%s: %s", e.Pointer, e.Message) }
func (e *FieldError) Unwrap() error { return ErrInvalid }

// ConflictError says who changed the object, and when. It wraps [ErrConflict].
type ConflictError struct{ Current Meta }

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%v: by %s at %s", ErrConflict, e.Current.UpdatedBy, e.Current.UpdatedAt.Format("2006-01-02T15:04:05Z07:00"))
}
func (e *ConflictError) Unwrap() error { return ErrConflict }

// ReferencedError lists everything that uses the object. It wraps [ErrReferenced].
type ReferencedError struct{ References []Reference }

func (e *ReferencedError) Error() string {
	return fmt.Sprintf("%v by %d objects", ErrReferenced, len(e.References))
}
func (e *ReferencedError) Unwrap() error { return ErrReferenced }
