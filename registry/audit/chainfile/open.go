// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/lanyard-dev/lanyard/pkg/auditchain"
)

// maxTail is how much of a file is looked through for its last line: more than the largest batch, which is what a crash can tear.
const maxTail = 32 << 20

// open opens the file and continues its chain, or that of the newest full file if there is none or nothing in it.
func (f *File) open() error {
	file, err := os.OpenFile(f.config.Path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if err := f.continueFull(); err != nil {
			return err
		}
		return f.create()
	}
	if err != nil {
		return err
	}
	f.file = file
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", f.config.Path)
	}
	last, size, err := tail(file, info.Size())
	if err != nil {
		return err
	}
	f.size = size
	if last == nil {
		if err := f.continueFull(); err != nil {
			return err
		}
	} else {
		f.chain, f.end = last.Chain, last.Position()
	}
	if size < info.Size() {
		f.config.Log.Warn("a write to the audit file was cut short by a crash; what nobody was told is kept is removed", "bytes", info.Size()-size)
		return f.takeBack()
	}
	return nil
}

// continueFull takes the end of the newest full file, if there is one.
func (f *File) continueFull() error {
	full, err := fullFiles(f.config.Path)
	if err != nil || len(full) == 0 {
		return err
	}
	newest := full[len(full)-1]
	file, err := os.Open(newest)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	last, size, err := tail(file, info.Size())
	if err == nil && (last == nil || size < info.Size()) {
		err = ErrDamaged
	}
	if err != nil {
		return fmt.Errorf("%s: %w", newest, err)
	}
	f.chain, f.end = last.Chain, last.Position()
	return nil
}

// tail finds the last line of a file of a size, nil if there is none, and where it ends. What is behind it is a torn line: one without its line break, or
// with zeros, which a file system shows that knew the file's new size and not yet its content. Anything else there is [ErrDamaged].
func tail(file io.ReaderAt, size int64) (*auditchain.Line, int64, error) {
	from := max(0, size-maxTail)
	buf := make([]byte, size-from)
	if _, err := file.ReadAt(buf, from); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, fmt.Errorf("reading the end: %w", err)
	}
	buf = buf[:bytes.LastIndexByte(buf, '\n')+1]
	for len(buf) > 0 {
		start := bytes.LastIndexByte(buf[:len(buf)-1], '\n') + 1
		line, err := auditchain.ParseLine(buf[start:])
		if err == nil {
			return &line, from + int64(len(buf)), nil
		}
		if bytes.IndexByte(buf[start:], 0) < 0 {
			return nil, 0, ErrDamaged
		}
		buf = buf[:start]
	}
	if from > 0 {
		return nil, 0, ErrDamaged
	}
	return nil, 0, nil
}
