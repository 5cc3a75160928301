// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// The receivers below are values so that a Ring or Key passed by value is
// covered as well as a pointer to one.

// Format writes "[redacted]" for every verb and flag.
func (Ring) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String returns "[redacted]".
func (Ring) String() string { return redacted }

// GoString returns "[redacted]".
func (Ring) GoString() string { return redacted }

// LogValue returns "[redacted]".
func (Ring) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]"; JSON and YAML use it too.
func (Ring) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format writes "[redacted]" for every verb and flag.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String returns "[redacted]".
func (Key) String() string { return redacted }

// GoString returns "[redacted]".
func (Key) GoString() string { return redacted }

// LogValue returns "[redacted]".
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]"; JSON and YAML use it too.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }
