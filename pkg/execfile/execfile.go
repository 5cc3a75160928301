// SPDX-License-Identifier: Apache-2.0

// Package execfile is the file in which values cross from the init agent to the agent that wraps a container's command (the exec delivery).
//
// It is a header and then one NAME=value string after the other, each ended by a NUL byte: what execve takes and /proc/PID/environ shows. An ENV cannot hold
// a NUL byte anyway, so every value that an ENV can have survives to the byte, and there is nothing to escape.
package execfile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

const (
	// MaxEnv is the longest NAME=value string, with its NUL, that execve accepts on Linux (MAX_ARG_STRLEN, 32 pages of 4 KiB).
	MaxEnv = 128 << 10
	// MaxEnviron is what all ENVs and arguments of a process may take where the stack's limit is the usual 8 MiB: a quarter of it.
	MaxEnviron = 2 << 20
)

// header begins every file and ends with a NUL byte like everything else, so that a file of another format or version is never taken for values.
const header = "lanyard-exec-1\x00"

var (
	// ErrUnrepresentable is wrapped by the errors of [Check] and [Append]: no ENV can have this value. The file delivery can carry it.
	ErrUnrepresentable = errors.New("an ENV cannot have this value")
	// ErrMalformed is wrapped by the errors of [Parse]. Its text never quotes the file.
	ErrMalformed = errors.New("malformed values")
)

// Check reports why value cannot be that of an ENV called name. The error wraps [ErrUnrepresentable] and tells the rule that was broken, nothing of the value.
func Check(name string, value []byte) error {
	switch {
	case bytes.IndexByte(value, 0) >= 0:
		return fmt.Errorf("ENV %s: %w: it contains a NUL byte", name, ErrUnrepresentable)
	case len(name)+1+len(value)+1 > MaxEnv:
		return fmt.Errorf("ENV %s: %w: it is longer than an environment variable may be", name, ErrUnrepresentable)
	}
	return nil
}

// New returns a file without values that has room for size bytes of NAME=value strings with their NULs, so that no outgrown slice keeps values.
func New(size int) []byte { return append(make([]byte, 0, len(header)+size), header...) }

// Append appends an ENV to the file in dst, which [New] began, and returns the longer slice, or dst as it was and an error from [Check]. The caller gives
// each name once.
func Append(dst []byte, name string, value []byte) ([]byte, error) {
	if err := Check(name, value); err != nil {
		return dst, err
	}
	dst = append(append(dst, name...), '=')
	return append(append(dst, value...), 0), nil
}

// Parse returns the NAME=value strings of a file. The error wraps [ErrMalformed].
func Parse(file []byte) ([]string, error) {
	rest, ok := bytes.CutPrefix(file, []byte(header))
	if !ok {
		return nil, fmt.Errorf("%w: the header is not that of this version", ErrMalformed)
	}
	if len(rest) == 0 {
		return nil, nil
	}
	text, ok := strings.CutSuffix(string(rest), "\x00")
	if !ok {
		return nil, fmt.Errorf("%w: the last one has no end", ErrMalformed)
	}
	envs := strings.Split(text, "\x00")
	for i, env := range envs {
		if strings.IndexByte(env, '=') < 1 {
			return nil, fmt.Errorf("%w: number %d has no name", ErrMalformed, i+1)
		}
	}
	return envs, nil
}
