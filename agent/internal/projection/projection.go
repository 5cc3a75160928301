// SPDX-License-Identifier: Apache-2.0

// Package projection puts a set of files with secret content into a directory: all of them or none.
//
// # What a reader may find
//
// A set is replaced in three steps: every new file is written under a temporary name, every old file is removed, every new file is renamed into place. So
// whatever ends the process and whenever, the directory holds files of the old set or files of the new one, never some of each, and every file is whole. A
// file that is missing makes the kubelet refuse to start the container; an old value beside a new one would not.
//
// Running it again replaces the set and whatever a killed run left behind. That matters because the kubelet runs init containers again when it has to make a
// new pod sandbox, with the volume as it was. A run that fails before the second step leaves the old set alone: it is complete, belongs to the same pod, and
// nothing reads it while an init container is failing.
//
// Nothing is synced: the directory is memory (tmpfs), which a machine's crash empties whatever has been synced, and after which the init container runs again.
package projection

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Mode of the files. Only the agent's user may read them; the kubelet, which is root, may anyway.
const Mode = 0o400

// A File is one file to write.
type File struct {
	Name string // without a slash
	Data []byte // [Write] wipes it
}

// temporary is the name a file is written under. It is always the same, so that a killed run's leftovers are replaced instead of filling the volume, and
// begins with a dot, which a container's name does not.
func (f File) temporary() string { return "." + f.Name + ".tmp" }

// ErrInvalid is wrapped when the set itself is wrong: a name twice, or one that would leave the directory. Nothing was written.
var ErrInvalid = errors.New("invalid set of files")

// Write replaces the set of files in dir, which must exist, and wipes their Data whatever the outcome. On an error nothing that this call wrote is left. It
// gives up when ctx ends, unless all files are written and only their names are missing. It must not run twice at a time in one directory.
func Write(ctx context.Context, dir string, files []File) (err error) {
	defer func() {
		for _, f := range files {
			clear(f.Data)
		}
	}()
	if err := check(files); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("opening directory: %w", err)
	}
	defer func() { _ = root.Close() }()

	var written []string // :: names to remove if it fails
	defer func() {
		if err == nil {
			return
		}
		for _, name := range written {
			if failed := remove(root, name); failed != nil {
				err = errors.Join(err, failed)
			}
		}
	}()
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("writing files: %w", err)
		}
		if err := remove(root, f.temporary()); err != nil {
			return err
		}
		written = append(written, f.temporary())
		if err := create(root, f); err != nil {
			return explain(dir, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("writing files: %w", err)
	}
	for _, f := range files {
		if err := remove(root, f.Name); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := root.Rename(f.temporary(), f.Name); err != nil {
			return fmt.Errorf("renaming: %w", err)
		}
		written = append(written, f.Name)
	}
	return nil
}

func check(files []File) error {
	seen := make(map[string]bool, len(files))
	for _, f := range files {
		switch {
		case f.Name == "" || f.Name[0] == '.' || filepath.Base(f.Name) != f.Name:
			return fmt.Errorf("%w: %q is not the name of a file", ErrInvalid, f.Name)
		case seen[f.Name]:
			return fmt.Errorf("%w: %q is there twice", ErrInvalid, f.Name)
		}
		seen[f.Name] = true
	}
	return nil
}

// create writes f under its temporary name. O_EXCL and O_NOFOLLOW: nobody who can write to the directory makes us write somewhere else.
func create(root *os.Root, f File) error {
	out, err := root.OpenFile(f.temporary(), os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, Mode)
	if err != nil {
		return fmt.Errorf("creating: %w", err)
	}
	if _, err := out.Write(f.Data); err != nil {
		_ = out.Close()
		return fmt.Errorf("writing: %w", err)
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("closing: %w", err)
	}
	return nil
}

func remove(root *os.Root, name string) error {
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing: %w", err)
	}
	return nil
}

// explain adds to a full volume what to change. The volume's size is no secret; those of the files are not told.
func explain(dir string, err error) error {
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	if size := volumeSize(dir); size != "" {
		return fmt.Errorf("the volume is full, raise its sizeLimit, which is %s: %w", size, err)
	}
	return fmt.Errorf("the volume is full, raise its sizeLimit: %w", err)
}
