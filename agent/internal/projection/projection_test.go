// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func set(version string, names ...string) []File {
	files := make([]File, 0, len(names))
	for _, name := range names {
		files = append(files, File{Name: name, Mode: ModeAgent, Data: []byte(version + " " + name)})
	}
	return files
}

func in(dir string, files []File) []Set { return []Set{{Dir: dir, Files: files}} }

// content returns what is in dir, by name.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, e := range entries {
		if e.IsDir() {
			got[e.Name()] = "(directory)"
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got[e.Name()] = string(data)
	}
	return got
}

func TestWriteReplacesTheSet(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"old", "new"} {
		files := set(version, "a.env", "b.env")
		if err := Write(t.Context(), in(dir, files)); err != nil {
			t.Fatal(err)
		}
		got := content(t, dir)
		if len(got) != 2 || got["a.env"] != version+" a.env" || got["b.env"] != version+" b.env" {
			t.Errorf("found %v", got)
		}
		info, err := os.Lstat(filepath.Join(dir, "a.env"))
		if err != nil || info.Mode() != ModeAgent {
			t.Errorf("mode = %v, want -r--------", info.Mode())
		}
		if strings.Trim(string(files[0].Data), "\x00") != "" {
			t.Error("the data were not wiped")
		}
	}
}

func TestWriteTouchesNothingOutside(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(outside, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, link := range []string{"a.env", ".a.env.tmp"} {
		if err := os.Symlink(outside, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Write(t.Context(), in(dir, set("new", "a.env"))); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(outside); string(got) != "untouched" {
		t.Errorf("a link was followed: %q", got)
	}
	if got := content(t, dir); len(got) != 1 || got["a.env"] != "new a.env" {
		t.Errorf("found %v", got)
	}
}

func TestWriteThatFailsLeavesNothingOfItsOwn(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	obstacle := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.MkdirAll(filepath.Join(dir, name, "not empty"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, tc := range map[string]struct {
		ctx     context.Context
		files   []File
		prepare func(*testing.T, string)
		keeps   []string // files of the old set
		is      error
	}{
		"the same name twice":                  {t.Context(), set("new", "a.env", "b.env", "a.env"), nil, []string{"a.env", "b.env"}, ErrInvalid},
		"a name that leaves the directory":     {t.Context(), set("new", "a.env", "../b.env"), nil, []string{"a.env", "b.env"}, ErrInvalid},
		"a name that could be a temporary one": {t.Context(), set("new", ".a.env.tmp"), nil, []string{"a.env", "b.env"}, ErrInvalid},
		"a canceled context":                   {canceled, set("new", "a.env", "b.env"), nil, []string{"a.env", "b.env"}, context.Canceled},
		"a temporary name that is taken":       {t.Context(), set("new", "a.env", "b.env"), obstacle(".b.env.tmp"), []string{"a.env", "b.env"}, nil},
		"a name that is taken":                 {t.Context(), set("new", "a.env", "c.env"), obstacle("c.env"), []string{"b.env"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := Write(t.Context(), in(dir, set("old", "a.env", "b.env"))); err != nil {
				t.Fatal(err)
			}
			if tc.prepare != nil {
				tc.prepare(t, dir)
			}
			err := Write(tc.ctx, in(dir, tc.files))
			if err == nil || tc.is != nil && !errors.Is(err, tc.is) {
				t.Fatalf("error = %v, want %v", err, tc.is)
			}
			kept := 0
			for file, data := range content(t, dir) {
				if data == "(directory)" {
					continue
				}
				if strings.HasPrefix(data, "new") || strings.HasSuffix(file, ".tmp") {
					t.Errorf("%s was left behind", file)
				}
				kept++
			}
			if kept != len(tc.keeps) {
				t.Errorf("%d old files are left, want %v", kept, tc.keeps)
			}
			for _, f := range tc.files {
				if strings.Trim(string(f.Data), "\x00") != "" {
					t.Errorf("the data of %s were not wiped", f.Name)
				}
			}
		})
	}
}

func TestWriteNeedsItsDirectory(t *testing.T) {
	if err := Write(t.Context(), in(filepath.Join(t.TempDir(), "absent"), set("new", "a.env"))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error = %v, want os.ErrNotExist", err)
	}
}

func TestSetsAreWrittenTogether(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	sets := func(version string) []Set {
		return []Set{{a, set(version, "a.env")}, files(b, version, "KEY")}
	}
	if err := Write(t.Context(), sets("old")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(b, "KEY")); err != nil || info.Mode() != ModeContainer {
		t.Errorf("mode = %v, want -r--r--r--", info.Mode())
	}
	// The second directory cannot take its file, so the first keeps its old one.
	if err := os.MkdirAll(filepath.Join(b, ".KEY.tmp", "not empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(t.Context(), sets("new")); err == nil {
		t.Fatal("no error")
	}
	if got := content(t, a); len(got) != 1 || got["a.env"] != "old a.env" {
		t.Errorf("the first directory holds %v", got)
	}
	if got := content(t, b); got["KEY"] != "old KEY" {
		t.Errorf("the second directory holds %v", got)
	}
}
