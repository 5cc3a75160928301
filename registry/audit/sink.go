// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// Lines returns a [Sink] that writes each event as one line of JSON with "audit":true in front, by which a log collector tells it from what else is
// written there. Every batch is one Write.
func Lines(name string, w io.Writer) Sink { return &lines{name: name, w: w} }

type lines struct {
	name string
	w    io.Writer
	buf  bytes.Buffer
	torn bool // the last Write may have ended within a line
}

type line struct {
	Audit bool `json:"audit"`
	Event
}

func (s *lines) Name() string { return s.name }

func (s *lines) Append(_ context.Context, events []Event) error {
	s.buf.Reset()
	if s.torn {
		s.buf.WriteByte('\n')
	}
	encoder := json.NewEncoder(&s.buf)
	encoder.SetEscapeHTML(false)
	for _, e := range events {
		if err := encoder.Encode(line{true, e}); err != nil {
			return fmt.Errorf("encoding audit event: %w", err)
		}
	}
	n, err := s.w.Write(s.buf.Bytes())
	if err == nil && n < s.buf.Len() {
		err = io.ErrShortWrite
	}
	s.torn = err != nil && (n > 0 || s.torn)
	return err
}

// Func returns a [Sink] that calls f, such as the store's AppendAudit.
func Func(name string, f func(ctx context.Context, events []Event) error) Sink {
	return sinkFunc{name, f}
}

type sinkFunc struct {
	name string
	f    func(context.Context, []Event) error
}

func (s sinkFunc) Name() string                                     { return s.name }
func (s sinkFunc) Append(ctx context.Context, events []Event) error { return s.f(ctx, events) }
