// SPDX-License-Identifier: Apache-2.0

// Package logtest has what tests write logs to.
package logtest

import (
	"bytes"
	"sync"
)

// Buffer collects what several goroutines write, while others read it. The zero Buffer is empty.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String is what was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
