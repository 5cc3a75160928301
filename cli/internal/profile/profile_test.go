// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const canary = "canary-7b1f"

func TestWhatIsSavedIsLoaded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lanyard", "config.yaml")
	want := File{Current: "prod", Contexts: map[string]Context{"prod": {Server: "https://lanyard.example", Organization: "acme", Token: canary}}}
	for range 2 { // the second replaces the first
		if err := want.Save(path); err != nil {
			t.Fatal(err)
		}
	}
	have, err := Load(path)
	if diff := cmp.Diff(want, have); diff != "" || err != nil {
		t.Errorf("%v (-want +have):\n%s", err, diff)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	for name, mode := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestAMissingFileIsEmpty(t *testing.T) {
	file, err := Load(filepath.Join(t.TempDir(), "none"))
	if diff := cmp.Diff(File{}, file); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestAFileOthersMayReadIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o610} {
		if err := errors.Join(os.WriteFile(path, []byte("current: a\n"), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); !errors.Is(err, ErrInsecure) {
			t.Errorf("%04o: %v", mode, err)
		}
	}
}

func TestErrorsDoNotRepeatTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	for _, content := range []string{"contexts: {a: {token: *" + canary + "}}", canary, "contexts: [" + canary, canary + ": 1"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", content, err)
		}
	}
}
