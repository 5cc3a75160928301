// SPDX-License-Identifier: Apache-2.0

// Package envfile writes the one file format from which the kubelet reads environment variables (`fileKeyRef`, Kubernetes 1.35 and later).
//
// The kubelet's grammar has no escapes: a value stands between single quotes, literally, over as many lines as it needs. Some values cannot be written
// in it at all, and some that look as if they could are silently changed by the kubelet's line scanner. [Check] names both; the agent calls it before it
// writes and the registry when a version is stored, so that a pod is refused at admission instead of failing later.
//
// The rules follow ParseEnv in k8s.io/kubernetes/pkg/kubelet/util/env (same code in 1.35, 1.36 and 1.37), against which the e2e module fuzzes this package.
package envfile

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

// MaxLine is the length in bytes of the longest line the kubelet reads, without its newline: line and newline must fit bufio.MaxScanTokenSize (65,536 bytes),
// the buffer of its scanner. Beyond it the kubelet reads neither this variable nor any after it.
const MaxLine = 64*1024 - 1

// MaxEnv is the longest NAME=value string, with its NUL, that execve accepts on Linux (MAX_ARG_STRLEN, 32 pages of 4 KiB).
const MaxEnv = 128 * 1024

// ErrUnrepresentable is wrapped by the errors of [Check] and [Append]: the value is sound but this format cannot carry it unchanged. Another delivery
// (exec, file) can.
var ErrUnrepresentable = errors.New("envfile cannot carry this value unchanged")

// Check reports why value cannot be handed over as the environment variable name by way of an env file. The error wraps [ErrUnrepresentable] and tells
// the rule that was broken, nothing of the value.
func Check(name string, value []byte) error {
	switch {
	case len(value) == 0:
		return unrepresentable(name, "it is empty, which the kubelet takes for a missing variable")
	case bytes.IndexByte(value, '\'') >= 0:
		return unrepresentable(name, "it contains a single quote")
	case bytes.IndexByte(value, 0) >= 0:
		return unrepresentable(name, "it contains a NUL byte")
	case !utf8.Valid(value):
		return unrepresentable(name, "it is not valid UTF-8")
	case bytes.Contains(value, []byte("\r\n")):
		return unrepresentable(name, "it contains CR LF, which the kubelet changes to LF")
	case len(name)+1+len(value)+1 > MaxEnv:
		return unrepresentable(name, "it is longer than an environment variable may be")
	}
	// The first line carries NAME=' and the last one the closing quote.
	rest, prefix := value, len(name)+2
	for {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			break
		}
		if prefix+end > MaxLine {
			return unrepresentable(name, "one of its lines is too long for the kubelet")
		}
		rest, prefix = rest[end+1:], 0
	}
	if prefix+len(rest)+1 > MaxLine {
		return unrepresentable(name, "one of its lines is too long for the kubelet")
	}
	return nil
}

// Append appends the variable to the file in dst and returns the longer slice, or dst as it was and an error from [Check]. The caller gives each name
// once: of two the kubelet takes the first.
func Append(dst []byte, name string, value []byte) ([]byte, error) {
	if err := Check(name, value); err != nil {
		return dst, err
	}
	dst = append(dst, name...)
	dst = append(dst, "='"...)
	dst = append(dst, value...)
	return append(dst, "'\n"...), nil
}

func unrepresentable(name, why string) error {
	return fmt.Errorf("ENV %s: %w: %s", name, ErrUnrepresentable, why)
}
