// SPDX-License-Identifier: Apache-2.0

// Package auditchain is the hash chain of audit events, and the form in which a chain is written to files and sent to clients.
//
// An event is whatever JSON its writer made of it. Its hash is the SHA-256 of the hash before it and of those bytes, so each hash stands for everything up
// to it. A chain is written as one [Line] of JSON an event. [Verifier] finds what was edited, dropped or reordered in such lines.
//
// The hashes hold no key: who can rewrite a whole chain from some event on can make it consistent again. So note a [Position] elsewhere from time to time;
// a chain that still leads through it was not rewritten before it.
package auditchain

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Hash stands for an event and all before it. The empty Hash stands before the first event.
type Hash []byte

// Next returns the hash after one more event.
func (h Hash) Next(event []byte) Hash {
	sum := sha256.New()
	sum.Write(h)
	sum.Write(event)
	return sum.Sum(nil)
}

// Equal reports whether two hashes are the same.
func (h Hash) Equal(other Hash) bool { return bytes.Equal(h, other) }

// String returns the hash in hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h) }

// MarshalText implements [encoding.TextMarshaler].
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. It accepts the empty hash.
func (h *Hash) UnmarshalText(text []byte) error {
	decoded, err := hex.DecodeString(string(text))
	if err != nil || len(decoded) != 0 && len(decoded) != sha256.Size {
		return fmt.Errorf("hash of an audit chain is not %d hexadecimal digits", 2*sha256.Size)
	}
	*h = decoded
	return nil
}

// Position is a place in a chain: behind the event Seq, the first of which is 1. The zero Position is before the first event.
type Position struct {
	Seq  uint64
	Hash Hash
}

// ParsePosition reads what [Position.String] wrote.
func ParsePosition(text string) (Position, error) {
	seq, hash, _ := strings.Cut(text, ":")
	var p Position
	var err error
	if p.Seq, err = strconv.ParseUint(seq, 10, 64); err == nil {
		err = p.Hash.UnmarshalText([]byte(hash))
	}
	if err != nil || (p.Seq == 0) != (len(p.Hash) == 0) {
		return Position{}, fmt.Errorf("position %q is not <sequence number>:<hash>", text)
	}
	return p, nil
}

// String returns the position as "<sequence number>:<hash>".
func (p Position) String() string { return strconv.FormatUint(p.Seq, 10) + ":" + p.Hash.String() }

// Line makes the line of the event that follows, and where it leads. It keeps event, which must be JSON without line breaks.
func (p Position) Line(chain string, event []byte) (Line, Position) {
	next := Position{p.Seq + 1, p.Hash.Next(event)}
	return Line{Chain: chain, Seq: next.Seq, Prev: p.Hash, Hash: next.Hash, Event: event}, next
}

// Line is one event of a chain.
type Line struct {
	Chain string          `json:"chain"` // which chain; no part of the hash
	Seq   uint64          `json:"seq"`
	Prev  Hash            `json:"prev"` // hash before the event
	Hash  Hash            `json:"hash"` // hash with it
	Event json.RawMessage `json:"event"`
}

// Position is the place behind the line.
func (l Line) Position() Position { return Position{l.Seq, l.Hash} }

// Append appends the line, with its line break, to b. The event is written byte by byte as it was hashed.
func (l Line) Append(b []byte) []byte {
	chain, _ := json.Marshal(l.Chain) // a string cannot fail
	b = append(append(b, `{"chain":`...), chain...)
	b = strconv.AppendUint(append(b, `,"seq":`...), l.Seq, 10)
	b = hex.AppendEncode(append(b, `,"prev":"`...), l.Prev)
	b = hex.AppendEncode(append(b, `","hash":"`...), l.Hash)
	return append(append(append(b, `","event":`...), l.Event...), "}\n"...)
}

// Errors of [ParseLine].
var (
	ErrSyntax = errors.New("not a line of an audit chain")
	ErrEdited = errors.New("the event is not the one its hash was made of")
)

// ParseLine reads one line with its line break, exactly as [Line.Append] writes it. A line that tells its hash wrongly is returned with [ErrEdited]. The line
// does not share memory with b.
func ParseLine(b []byte) (Line, error) {
	var l Line
	if err := json.Unmarshal(b, &l); err != nil || l.Seq == 0 || len(l.Hash) == 0 || (l.Seq == 1) != (len(l.Prev) == 0) {
		return Line{}, ErrSyntax
	}
	// JSON lets one write the same in many ways. Each of them is an edit.
	if !bytes.Equal(l.Append(nil), b) {
		return Line{}, ErrSyntax
	}
	if !l.Prev.Next(l.Event).Equal(l.Hash) {
		return l, ErrEdited
	}
	return l, nil
}
