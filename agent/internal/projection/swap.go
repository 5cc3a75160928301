// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// What [Swap] keeps in a directory. Files are links through current to a slot, so that one rename replaces all of them.
const (
	current = "..data"
	slotA   = "..a"
	slotB   = "..b"
	// modeSlot lets the container's user, whoever it is, reach the files; their own modes say who reads them.
	modeSlot fs.FileMode = 0o755
)

// Swap makes the files of running containers those of the sets, each in a directory of its own, and reports whether any of them was another before. It wipes
// their Data whatever the outcome. What it finds to be the same, it does not touch: a watcher sees only changes.
//
// All files of a directory change at once: each is a link into a directory beside it, behind another link that one rename points elsewhere, as the kubelet
// does with ConfigMaps. A reader that opens a file gets an old one or a new one, whole; that of several files gets all of one set unless the rename comes between
// two of its opens. Directories follow one another within moments. The old files stay until [Tidy], so that a reader on its way to one still finds it.
//
// On an error, or when ctx ends before the first rename, directories keep what they have; after an error during the renames the next call sets it right. It
// must not run twice at a time in one directory.
func Swap(ctx context.Context, sets []Set) (changed bool, err error) {
	defer Wipe(sets)
	for _, s := range sets {
		if err := s.check(); err != nil {
			return false, err
		}
	}
	var open []*slots
	defer func() {
		for _, d := range open {
			_ = d.root.Close()
		}
	}()
	for _, s := range sets {
		root, err := os.OpenRoot(s.Dir)
		if err != nil {
			return false, fmt.Errorf("opening directory: %w", err)
		}
		open = append(open, &slots{root: root, set: s})
	}
	var stale []*slots
	for _, d := range open {
		if d.holds() {
			continue
		}
		stale = append(stale, d)
		if err := d.fill(ctx); err != nil {
			for _, d := range stale {
				err = errors.Join(err, d.root.RemoveAll(d.other()))
			}
			return false, err
		}
	}
	if err := ended(ctx); err != nil { // the last moment to give up
		for _, d := range stale {
			err = errors.Join(err, d.root.RemoveAll(d.other()))
		}
		return false, err
	}
	for _, d := range stale {
		if err := d.point(); err != nil {
			return true, err
		}
	}
	return len(stale) > 0, nil
}

// Tidy destroys the files that [Swap] has replaced in the directories, or a killed run has left there.
func Tidy(dirs []string) error {
	var errs []error
	for _, dir := range dirs {
		root, err := os.OpenRoot(dir)
		if err != nil {
			errs = append(errs, fmt.Errorf("opening directory: %w", err))
			continue
		}
		d := slots{root: root}
		if err := root.RemoveAll(d.other()); err != nil {
			errs = append(errs, fmt.Errorf("removing: %w", err))
		}
		_ = root.Close()
	}
	return errors.Join(errs...)
}

// Complete reports whether dir holds every file that [Swap] puts there under these names, whatever is in it.
func Complete(dir string, names []string) bool {
	for _, name := range names {
		if info, err := os.Stat(path.Join(dir, name)); err != nil || !info.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// slots is a directory whose files are being swapped.
type slots struct {
	root *os.Root
	set  Set
}

// now returns the slot that is in use, or "".
func (d *slots) now() string {
	if slot, err := d.root.Readlink(current); err == nil && (slot == slotA || slot == slotB) {
		return slot
	}
	return ""
}

func (d *slots) other() string {
	if d.now() == slotA {
		return slotB
	}
	return slotA
}

// holds reports whether the directory is already as it should be.
func (d *slots) holds() bool {
	for _, f := range d.set.Files {
		if target, err := d.root.Readlink(f.Name); err != nil || target != f.target() {
			return false
		}
		info, err := d.root.Stat(f.Name)
		if err != nil || info.Mode() != f.Mode {
			return false
		}
		have, err := d.root.ReadFile(f.Name)
		same := err == nil && bytes.Equal(have, f.Data)
		clear(have)
		if !same {
			return false
		}
	}
	return true
}

func (f File) target() string { return current + "/" + f.Name }

// fill writes all files into the slot that is not in use.
func (d *slots) fill(ctx context.Context) error {
	slot := d.other()
	if err := d.root.RemoveAll(slot); err != nil { // what was replaced before, or a killed run left
		return fmt.Errorf("removing: %w", err)
	}
	if err := d.root.Mkdir(slot, modeSlot); err != nil {
		return explain(d.set.Dir, fmt.Errorf("creating: %w", err))
	}
	info, err := d.root.Stat(slot)
	if err == nil { // whatever the umask is; a volume with an fsGroup hands the group down by the bit that is kept here
		err = d.root.Chmod(slot, modeSlot|info.Mode()&fs.ModeSetgid)
	}
	if err != nil {
		return fmt.Errorf("creating: %w", err)
	}
	for _, f := range d.set.Files {
		if err := ended(ctx); err != nil {
			return err
		}
		if err := write(d.root, slot+"/"+f.Name, f.Data, f.Mode); err != nil {
			return explain(d.set.Dir, err)
		}
	}
	return nil
}

// point makes the slot that was filled the one in use.
func (d *slots) point() error {
	if err := relink(d.root, d.other(), current); err != nil {
		return err
	}
	for _, f := range d.set.Files {
		if target, err := d.root.Readlink(f.Name); err == nil && target == f.target() {
			continue
		}
		if err := relink(d.root, f.target(), f.Name); err != nil {
			return err
		}
	}
	return nil
}

// relink replaces whatever is called name by a link.
func relink(root *os.Root, target, name string) error {
	temporary := File{Name: name}.temporary()
	if err := remove(root, temporary); err != nil {
		return err
	}
	if err := root.Symlink(target, temporary); err != nil {
		return fmt.Errorf("linking: %w", err)
	}
	if err := root.Rename(temporary, name); err != nil {
		return fmt.Errorf("renaming: %w", err)
	}
	return nil
}

// write writes a new file. O_EXCL and O_NOFOLLOW: nobody who can write to the directory makes us write somewhere else.
func write(root *os.Root, name string, data []byte, mode fs.FileMode) error {
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, ModeAgent)
	if err != nil {
		return fmt.Errorf("creating: %w", err)
	}
	_, err = out.Write(data)
	if err == nil && mode != ModeAgent {
		err = out.Chmod(mode) // whatever the umask is
	}
	if err != nil {
		_ = out.Close()
		return fmt.Errorf("writing: %w", err)
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("closing: %w", err)
	}
	return nil
}
