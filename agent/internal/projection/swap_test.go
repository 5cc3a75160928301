// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func swapped(t *testing.T, sets ...Set) bool {
	t.Helper()
	changed, err := Swap(t.Context(), sets)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func files(dir, version string, names ...string) Set {
	s := Set{Dir: dir, Files: set(version, names...)}
	for i := range s.Files {
		s.Files[i].Mode = ModeContainer
	}
	return s
}

func expect(t *testing.T, dir, version string, names ...string) {
	t.Helper()
	for _, name := range names {
		got, err := os.ReadFile(filepath.Join(dir, name))
		info, statErr := os.Stat(filepath.Join(dir, name))
		if err != nil || string(got) != version+" "+name || statErr != nil || info.Mode() != ModeContainer {
			t.Errorf("%s holds %q with mode %v, %v, want version %s", name, got, info.Mode(), err, version)
		}
	}
}

func TestSwapReplacesAllFilesAndTidyTheOldOnes(t *testing.T) {
	dir := t.TempDir()
	for i, version := range []string{"one", "two", "three"} {
		s := files(dir, version, "A", "B")
		if !swapped(t, s) {
			t.Error("a change was not reported")
		}
		expect(t, dir, version, "A", "B")
		if strings.Trim(string(s.Files[0].Data), "\x00") != "" {
			t.Error("the data were not wiped")
		}
		entries, _ := os.ReadDir(dir)
		if want := 4 + min(i, 1); len(entries) != want { // two links, the link of links, one slot, and one of before
			t.Errorf("%d entries, want %d", len(entries), want)
		}
	}
	if err := Tidy([]string{dir}); err != nil {
		t.Fatal(err)
	}
	expect(t, dir, "three", "A", "B")
	if slots, _ := filepath.Glob(filepath.Join(dir, "..[ab]")); len(slots) != 1 {
		t.Errorf("after Tidy there is %v", slots)
	}
}

func TestSwapOfTheSameTouchesNothing(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	swapped(t, files(dir, "one", "A", "B"), files(other, "one", "C"))
	before, err := os.Readlink(filepath.Join(dir, current))
	if err != nil {
		t.Fatal(err)
	}
	if swapped(t, files(dir, "one", "A", "B"), files(other, "one", "C")) {
		t.Error("a change was reported")
	}
	if !swapped(t, files(dir, "one", "A", "B"), files(other, "two", "C")) {
		t.Error("no change was reported")
	}
	if after, _ := os.Readlink(filepath.Join(dir, current)); after != before {
		t.Error("the directory without a change was swapped")
	}
	expect(t, other, "two", "C")
}

// What is not as Swap leaves it is replaced, whatever it is.
func TestSwapRepairsWhatItFinds(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"a file instead of a link": func(dir string) error {
			return replace(dir, "A", func(p string) error { return os.WriteFile(p, []byte("x"), 0o600) })
		},
		"a link that leads outside": func(dir string) error {
			return replace(dir, "A", func(p string) error { return os.Symlink("/etc/passwd", p) })
		},
		"another mode":               func(dir string) error { return os.Chmod(filepath.Join(dir, slotA, "A"), 0o600) },
		"a slot that is half filled": func(dir string) error { return os.MkdirAll(filepath.Join(dir, slotB, "A", "x"), 0o700) },
		"a link of links to nowhere": func(dir string) error {
			return replace(dir, current, func(p string) error { return os.Symlink("..c", p) })
		},
		"a name in the making": func(dir string) error { return os.WriteFile(filepath.Join(dir, ".A.tmp"), []byte("x"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			swapped(t, files(dir, "one", "A", "B"))
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			swapped(t, files(dir, "two", "A", "B"))
			expect(t, dir, "two", "A", "B")
		})
	}
}

func replace(dir, name string, with func(path string) error) error {
	path := filepath.Join(dir, name)
	if err := os.Remove(path); err != nil {
		return err
	}
	return with(path)
}

func TestSwapThatFailsKeepsTheFiles(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tc := range map[string]struct {
		ctx  context.Context
		sets func(dir, other string) []Set
		is   error
	}{
		"a canceled context": {canceled, func(dir, other string) []Set { return []Set{files(dir, "two", "A"), files(other, "two", "C")} }, context.Canceled},
		"a directory that is not there": {t.Context(), func(dir, other string) []Set {
			return []Set{files(dir, "two", "A"), files(other+"-absent", "two", "C")}
		}, fs.ErrNotExist},
		"a name that leaves it":   {t.Context(), func(dir, other string) []Set { return []Set{files(dir, "two", "A"), files(other, "two", "../C")} }, ErrInvalid},
		"a name that is a slot's": {t.Context(), func(dir, other string) []Set { return []Set{files(dir, "two", "A", "..a")} }, ErrInvalid},
		"a second set that cannot be one": {t.Context(), func(dir, other string) []Set {
			return []Set{files(dir, "two", "A"), files(other, "two", "C", strings.Repeat("x", 300))}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir, other := t.TempDir(), t.TempDir()
			swapped(t, files(dir, "one", "A"), files(other, "one", "C"))
			sets := tc.sets(dir, other)
			changed, err := Swap(tc.ctx, sets)
			if err == nil || changed || tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("changed = %v, error = %v, want %v", changed, err, tc.is)
			}
			expect(t, dir, "one", "A")
			expect(t, other, "one", "C")
			for _, s := range sets {
				for _, f := range s.Files {
					if strings.Trim(string(f.Data), "\x00") != "" {
						t.Error("the data were not wiped")
					}
				}
			}
			for _, d := range []string{dir, other} {
				if slots, _ := filepath.Glob(filepath.Join(d, "..[ab]")); len(slots) != 1 {
					t.Errorf("%s is left with %v", d, slots)
				}
			}
		})
	}
}

// A reader that is already behind the links when they change finds the old file, until it is tidied away.
func TestAReaderOnItsWayFindsTheOldFile(t *testing.T) {
	dir := t.TempDir()
	swapped(t, files(dir, "one", "A"))
	reader, err := os.OpenRoot(filepath.Join(dir, current))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	swapped(t, files(dir, "two", "A"))
	if got, err := reader.ReadFile("A"); err != nil || string(got) != "one A" {
		t.Errorf("it read %q, %v", got, err)
	}
	if err := Tidy([]string{dir}); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.ReadFile("A"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Tidy: %v", err)
	}
}

func TestComplete(t *testing.T) {
	dir := t.TempDir()
	if Complete(dir, []string{"A"}) {
		t.Error("an empty directory is complete")
	}
	swapped(t, files(dir, "one", "A", "B"))
	if !Complete(dir, []string{"A", "B"}) || Complete(dir, []string{"A", "C"}) || Complete(dir+"-absent", []string{"A"}) {
		t.Error("what is there was misjudged")
	}
	if err := os.RemoveAll(filepath.Join(dir, slotA)); err != nil {
		t.Fatal(err)
	}
	if Complete(dir, []string{"A"}) {
		t.Error("links to nowhere are complete")
	}
}

// The group of a volume with an fsGroup reaches the files, and a strict umask does not keep readers out.
func TestSlotsAreOpenToTheContainersUser(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777|fs.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	swapped(t, files(dir, "one", "A"))
	info, err := os.Stat(filepath.Join(dir, slotA))
	if err != nil || info.Mode().Perm() != modeSlot || info.Mode()&fs.ModeSetgid == 0 {
		t.Errorf("the slot has mode %v, %v", info.Mode(), err)
	}
}
