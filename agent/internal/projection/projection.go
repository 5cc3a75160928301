// SPDX-License-Identifier: Apache-2.0

// Package projection puts sets of files with secret content into their directories: all of them or none. [Write] does so before anything reads them, [Swap] while
// applications do.
//
// # What a reader may find
//
// [Write] replaces the sets in three steps: every new file is written under a temporary name, every old file is removed, every new file is renamed into place.
// So whatever ends the process and whenever, the directories hold files of the old sets or files of the new ones, never some of each, and every file is
// whole. A file that is missing keeps its container from starting; an old value beside a new one would not.
//
// Running it again replaces the sets and whatever a killed run left behind. That matters because the kubelet runs init containers again when it has to make a
// new pod sandbox, with the volume as it was. A run that fails before the second step leaves the old set alone: it is complete, belongs to the same pod, and
// nothing reads it while an init container is failing.
//
// Nothing is synced: the directories are memory (tmpfs), which a machine's crash empties whatever has been synced, and after which the init container runs again.
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

// Modes of files.
const (
	// ModeAgent is for files only the agent's user may read; the kubelet, which is root, may anyway.
	ModeAgent fs.FileMode = 0o400
	// ModeContainer is for files in a volume that only the container they are for mounts: its user is not known here, and the volume is the wall.
	ModeContainer fs.FileMode = 0o444
)

// A Set is the files of one directory, which must exist.
type Set struct {
	Dir   string
	Files []File
}

// A File is one file to write.
type File struct {
	Name string // without a slash
	Data []byte // [Write] wipes it
	Mode fs.FileMode
}

// temporary is the name a file is written under. It is always the same, so that a killed run's leftovers are replaced instead of filling the volume, and
// begins with a dot, which neither a container's name nor an ENV's does.
func (f File) temporary() string { return "." + f.Name + ".tmp" }

// ErrInvalid is wrapped when a set itself is wrong: a name twice, or one that would leave the directory. Nothing was written.
var ErrInvalid = errors.New("invalid set of files")

// Wipe overwrites the data of the sets, which need not be complete.
func Wipe(sets []Set) {
	for _, s := range sets {
		for _, f := range s.Files {
			clear(f.Data)
		}
	}
}

// Write replaces the sets, each in a directory of its own, and wipes their Data whatever the outcome. On an error nothing that this call wrote is left. It
// gives up when ctx ends, unless all files are written and only their names are missing. It must not run twice at a time in one directory.
func Write(ctx context.Context, sets []Set) (err error) {
	defer Wipe(sets)
	for _, s := range sets {
		if err := s.check(); err != nil {
			return err
		}
	}
	var open []*directory
	defer func() {
		for _, d := range open {
			if err != nil {
				err = errors.Join(err, d.undo())
			}
			_ = d.root.Close()
		}
	}()
	for _, s := range sets {
		root, err := os.OpenRoot(s.Dir)
		if err != nil {
			return fmt.Errorf("opening directory: %w", err)
		}
		open = append(open, &directory{root: root, set: s})
	}
	for _, step := range []func(*directory) error{
		func(d *directory) error { return d.create(ctx) },
		func(d *directory) error { return ended(ctx) }, // the last moment to give up
		(*directory).removeOld,
		(*directory).rename,
	} {
		for _, d := range open {
			if err := step(d); err != nil {
				return err
			}
		}
	}
	return nil
}

func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("writing files: %w", err)
	}
	return nil
}

func (s Set) check() error {
	seen := make(map[string]bool, len(s.Files))
	for _, f := range s.Files {
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

// directory is a set being written.
type directory struct {
	root    *os.Root
	set     Set
	written []string // names to remove if it fails
}

func (d *directory) create(ctx context.Context) error {
	for _, f := range d.set.Files {
		if err := ended(ctx); err != nil {
			return err
		}
		if err := remove(d.root, f.temporary()); err != nil {
			return err
		}
		d.written = append(d.written, f.temporary())
		if err := write(d.root, f.temporary(), f.Data, f.Mode); err != nil {
			return explain(d.set.Dir, err)
		}
	}
	return nil
}

func (d *directory) removeOld() error {
	for _, f := range d.set.Files {
		if err := remove(d.root, f.Name); err != nil {
			return err
		}
	}
	return nil
}

func (d *directory) rename() error {
	for _, f := range d.set.Files {
		if err := d.root.Rename(f.temporary(), f.Name); err != nil {
			return fmt.Errorf("renaming: %w", err)
		}
		d.written = append(d.written, f.Name)
	}
	return nil
}

func (d *directory) undo() (err error) {
	for _, name := range d.written {
		err = errors.Join(err, remove(d.root, name))
	}
	return err
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
