// SPDX-License-Identifier: Apache-2.0

// Package chainfile keeps audit events in a file, one line of a hash chain each (package auditchain), on the disk before they are acknowledged.
//
// The file is only ever appended to. Above a size it is renamed after the sequence number of its last event, audit.ndjson to
// audit-00000000000000004711.ndjson, and the chain goes on in a new one. A crash leaves at most a torn last line, of which nobody was told that it was kept:
// it is cut off at the next start.
package chainfile

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/lanyard-dev/lanyard/pkg/auditchain"
	"github.com/lanyard-dev/lanyard/registry/audit"
)

// Errors of [Open] and [File.Append].
var (
	// ErrInUse means that another process has the file.
	ErrInUse = errors.New("another process has the audit file")
	// ErrDamaged means that the end of the file is no line of a chain. It was edited or is not ours: look at it and move it away.
	ErrDamaged = errors.New("the audit file does not end with an event")
	// ErrReplaced means that there is another file now where ours was.
	ErrReplaced = errors.New("the audit file was replaced by another one")
)

// Config says where the file is.
type Config struct {
	Path string // its directory is made if it is not there, for this process alone; its name should have an extension
	// MaxBytes is the size above which a new file is begun; 64 MiB if 0.
	MaxBytes int64
	// Keep is how many full files stay; the oldest is removed when there are more. 0 keeps all.
	Keep int
	Log  *slog.Logger // nil discards
}

// File is an [audit.Sink]. Its methods must not be called at the same time.
type File struct {
	config Config
	lock   *os.File
	disk   disk

	file   *os.File // nil if it must be opened first
	chain  string
	end    auditchain.Position // of what was acknowledged
	size   int64               // of what was acknowledged
	unsure bool                // more than that may be in the file, or on the disk
	buf    []byte
}

// disk is what a test lets fail.
type disk struct {
	writeAt func(f *os.File, p []byte, offset int64) (int, error)
	sync    func(f *os.File) error
}

// Open opens the file, or makes it, and finds the end of the chain. It holds the file for itself until Close.
func Open(config Config) (*File, error) {
	config.MaxBytes = cmp.Or(config.MaxBytes, 64<<20)
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(filepath.Dir(config.Path), 0o700); err != nil {
		return nil, fmt.Errorf("opening audit file: %w", err)
	}
	lock, err := lockFile(config.Path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("opening audit file: %w", err)
	}
	f := &File{config: config, lock: lock, disk: disk{(*os.File).WriteAt, datasync}}
	if err := f.open(); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("opening audit file: %w", err)
	}
	if f.chain == "" {
		f.chain = uuid.Must(uuid.NewV7()).String()
	}
	config.Log.Info("audit file opened", "path", config.Path, "chain", f.chain, "end", f.end.String())
	return f, nil
}

// Close lets go of the file.
func (f *File) Close() error {
	var err error
	if f.file != nil {
		err = f.file.Close()
	}
	return errors.Join(err, f.lock.Close())
}

// Name implements [audit.Sink].
func (f *File) Name() string { return "file" }

// End is the position behind the last event that was acknowledged.
func (f *File) End() auditchain.Position { return f.end }

// Append implements [audit.Sink]: when it returns nil, the events are on the disk. After an error, what was written of them is taken back before anything
// else is written. Without events it tries whether the disk takes a page.
func (f *File) Append(ctx context.Context, events []audit.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := f.ensure(); err != nil {
		return fmt.Errorf("mending audit file: %w", err)
	}
	if len(events) == 0 {
		return f.try()
	}
	f.buf = f.buf[:0]
	end := f.end
	for _, e := range events {
		encoded, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encoding audit event: %w", err)
		}
		var line auditchain.Line
		line, end = end.Line(f.chain, encoded)
		f.buf = line.Append(f.buf)
	}
	if err := f.write(f.buf); err != nil {
		return err
	}
	f.end, f.size, f.unsure = end, f.size+int64(len(f.buf)), false
	if f.size >= f.config.MaxBytes {
		f.rotate()
	}
	return nil
}

// write puts b behind what was acknowledged, and on the disk.
func (f *File) write(b []byte) error {
	f.unsure = true
	if _, err := f.disk.writeAt(f.file, b, f.size); err != nil {
		return fmt.Errorf("writing audit file: %w", err)
	}
	if err := f.disk.sync(f.file); err != nil {
		return fmt.Errorf("syncing audit file: %w", err)
	}
	return nil
}

// try writes a page and takes it back.
func (f *File) try() error {
	if err := f.write(make([]byte, 4096)); err != nil {
		return err
	}
	return f.takeBack()
}

// takeBack cuts off what was not acknowledged. After a failed sync the kernel may hold pages for written that are not, so nothing of them may stay.
func (f *File) takeBack() error {
	if err := f.file.Truncate(f.size); err != nil {
		return err
	}
	if err := f.disk.sync(f.file); err != nil {
		return err
	}
	f.unsure = false
	return nil
}

// ensure makes sure that the open file is the one at the path and ends where the chain does.
func (f *File) ensure() error {
	at, err := os.Stat(f.config.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	there := err == nil
	if f.file != nil {
		ours, err := f.file.Stat()
		switch {
		case err != nil:
			return err
		case there && os.SameFile(at, ours):
			if ours.Size() == f.size && !f.unsure {
				return nil
			}
			if ours.Size() < f.size {
				return fmt.Errorf("%w: %d bytes are missing", ErrReplaced, f.size-ours.Size())
			}
			if !f.unsure {
				f.config.Log.Warn("something else wrote to the audit file; it is taken back", "bytes", ours.Size()-f.size)
			}
			return f.takeBack()
		case there:
			return ErrReplaced
		}
		f.config.Log.Warn("the audit file is gone; its chain goes on in a new one", "end", f.end.String())
		_ = f.file.Close()
		f.file = nil
	} else if there {
		return ErrReplaced
	}
	return f.create()
}

// create makes a new file, whose chain goes on where the one before it ended.
func (f *File) create() error {
	file, err := os.OpenFile(f.config.Path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := syncDir(f.config.Path); err != nil {
		_ = file.Close()
		_ = os.Remove(f.config.Path) // else the next attempt finds somebody else's file
		return err
	}
	f.file, f.size, f.unsure = file, 0, false
	return nil
}
