// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// rotate gives the full file its final name; the next Append makes a new one. What fails leaves everything as it is, to be tried after the next Append: the
// events are kept already.
func (f *File) rotate() {
	full := fullName(f.config.Path, f.end.Seq)
	if err := os.Rename(f.config.Path, full); err != nil {
		f.config.Log.Warn("audit file not rotated", "err", err)
		return
	}
	f.config.Log.Info("audit file is full", "path", full, "end", f.end.String())
	if err := f.file.Close(); err != nil {
		f.config.Log.Warn("audit file not closed cleanly", "err", err)
	}
	f.file = nil
	if err := f.create(); err != nil { // tried again by the next Append, which fails if it fails
		f.config.Log.Warn("audit file not created", "err", err)
	}
	f.removeOldest()
}

func (f *File) removeOldest() {
	if f.config.Keep == 0 {
		return
	}
	full, err := fullFiles(f.config.Path)
	if err != nil {
		f.config.Log.Warn("old audit files not removed", "err", err)
		return
	}
	for _, path := range full[:max(0, len(full)-f.config.Keep)] {
		if err := os.Remove(path); err != nil {
			f.config.Log.Warn("old audit file not removed", "err", err)
			return
		}
		f.config.Log.Info("old audit file removed", "path", path)
	}
}

// fullName is the name of a full file whose last event is seq. Names sort as the files follow each other.
func fullName(path string, seq uint64) string {
	extension := filepath.Ext(path)
	return fmt.Sprintf("%s-%020d%s", strings.TrimSuffix(path, extension), seq, extension)
}

// fullFiles returns the full files beside path, oldest first.
func fullFiles(path string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	base, extension := filepath.Base(path), filepath.Ext(path)
	base = strings.TrimSuffix(base, extension) + "-"
	var full []string
	for _, e := range entries {
		number, ok := strings.CutPrefix(strings.TrimSuffix(e.Name(), extension), base)
		if ok && len(number) == 20 && strings.Trim(number, "0123456789") == "" && strings.HasSuffix(e.Name(), extension) {
			full = append(full, filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
	slices.Sort(full)
	return full, nil
}

// syncDir puts the directory of path on the disk: which files there are.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
