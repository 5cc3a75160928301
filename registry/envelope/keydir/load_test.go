// SPDX-License-Identifier: Apache-2.0

package keydir

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/registry/envelope"
)

// keyOf returns the id of the key in a key file.
func keyOf(t testing.TB, file []byte) envelope.KID {
	t.Helper()
	k, err := envelope.ParseKey(file)
	if err != nil {
		t.Fatal(err)
	}
	return k.KID()
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestLoad(t *testing.T) {
	a, b := envelope.NewKey(), envelope.NewKey()
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(a)))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		files map[string]string
		setUp func(t *testing.T, dir string)
		want  error
		says  []string // what the message must name
	}{
		"one key that is primary":         {files: map[string]string{"k1": string(a), "primary": "k1"}},
		"a line ending after the name":    {files: map[string]string{"k1": string(a), "primary": "k1\n"}},
		"a Windows line ending after it":  {files: map[string]string{"k1": string(a), "primary": "k1\r\n"}},
		"a key without a line ending":     {files: map[string]string{"k1": strings.TrimSpace(string(a)), "primary": "k1"}},
		"names that begin with a dot":     {files: map[string]string{"k1": string(a), "primary": "k1", ".k2.swp": "x"}},
		"two keys":                        {files: map[string]string{"k0": string(b), "k1": string(a), "primary": "k1"}},
		"an empty directory":              {want: ErrEmpty, says: []string{"base64"}},
		"only a primary":                  {files: map[string]string{"primary": "k1"}, want: ErrEmpty},
		"no primary":                      {files: map[string]string{"k1": string(a)}, want: ErrNoPrimary, says: []string{`"primary"`}},
		"an empty primary":                {files: map[string]string{"k1": string(a), "primary": ""}, want: ErrPrimaryUnknown},
		"a primary that names nothing":    {files: map[string]string{"k1": string(a), "primary": "k2"}, want: ErrPrimaryUnknown, says: []string{`"primary"`}},
		"a primary that names itself":     {files: map[string]string{"k1": string(a), "primary": "primary"}, want: ErrPrimaryUnknown},
		"a primary that names a path":     {files: map[string]string{"k1": string(a), "primary": "./k1"}, want: ErrPrimaryUnknown},
		"a primary with two names":        {files: map[string]string{"k1": string(a), "primary": "k1\nk1\n"}, want: ErrPrimaryUnknown},
		"a key in the place of primary":   {files: map[string]string{"k1": string(a), "primary": string(b)}, want: ErrPrimaryUnknown},
		"the primary key in its place":    {files: map[string]string{"k1": string(a), "primary": string(a)}, want: ErrPrimaryUnknown},
		"a short key":                     {files: map[string]string{"k1": string(a), "old": "AAECAw==", "primary": "k1"}, want: envelope.ErrKeyLength, says: []string{`"old"`, "32 random bytes"}},
		"bad base64":                      {files: map[string]string{"k1": string(a), "old": "?" + string(b), "primary": "k1"}, want: envelope.ErrKeyEncoding, says: []string{`"old"`}},
		"raw bytes":                       {files: map[string]string{"k1": string(raw), "primary": "k1"}, want: envelope.ErrKeyEncoding, says: []string{`"k1"`}},
		"an empty key file":               {files: map[string]string{"k1": string(a), "old": "", "primary": "k1"}, want: envelope.ErrKeyLength, says: []string{`"old"`}},
		"a placeholder key":               {files: map[string]string{"k1": strings.Repeat("A", 43) + "=", "primary": "k1"}, want: envelope.ErrKeyWeak, says: []string{`"k1"`}},
		"a file as long as memory":        {files: map[string]string{"k1": string(a) + strings.Repeat("A", maxFile), "primary": "k1"}, want: ErrTooLong, says: []string{`"k1"`}},
		"a primary as long as memory":     {files: map[string]string{"k1": string(a), "primary": strings.Repeat("A", maxFile+1)}, want: ErrTooLong, says: []string{`"primary"`}},
		"the same key twice":              {files: map[string]string{"k1": string(a), "k2": strings.TrimSpace(string(a)), "primary": "k1"}, want: ErrDuplicate, says: []string{`"k1"`, `"k2"`}},
		"a directory among the keys":      {files: map[string]string{"k1": string(a), "primary": "k1", "more/k2": string(b)}, want: ErrNotFile, says: []string{`"more"`}},
		"a stray file":                    {files: map[string]string{"k1": string(a), "primary": "k1", "README": "the keys of production"}, want: envelope.ErrKeyEncoding, says: []string{`"README"`}},
		"a missing directory":             {setUp: func(t *testing.T, dir string) { os.Remove(dir) }, want: fs.ErrNotExist},
		"a link among the keys":           {files: map[string]string{"k1": string(a), "primary": "k1"}, setUp: link("k1", "k2"), want: ErrNotFile, says: []string{`"k2"`}},
		"a data link that leads nowhere":  {files: map[string]string{"k1": string(a), "primary": "k1"}, setUp: link("absent", dataLink), want: ErrBusy},
		"a data link to a good directory": {files: map[string]string{"..1/k1": string(a), "..1/primary": "k1"}, setUp: link("..1", dataLink)},
		"files beside the data link": {
			files: map[string]string{"..1/k1": string(a), "..1/primary": "k1", "k9": "not a key", "primary": "k9"},
			setUp: link("..1", dataLink),
		},
		"a data link to a bad directory": {files: map[string]string{"..1/k1": string(a), "k1": string(a), "primary": "k1"}, setUp: link("..1", dataLink), want: ErrNoPrimary},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, content := range tt.files {
				write(t, filepath.Join(dir, file), []byte(content))
			}
			if tt.setUp != nil {
				tt.setUp(t, dir)
			}
			ring, err := Load(dir)
			if !errors.Is(err, tt.want) {
				t.Fatalf("Load: %v, want %v", err, tt.want)
			}
			if err == nil {
				if ring.Primary() != keyOf(t, a) {
					t.Error("Load chose another primary")
				}
				return
			}
			for _, part := range append(tt.says, dir) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not name %s", err, part)
				}
			}
			for _, key := range []string{string(a), string(b), string(raw)} {
				if strings.Contains(err.Error(), key[:8]) {
					t.Errorf("error %q quotes a key", err)
				}
			}
		})
	}
}

func link(target, name string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryKeyFileIsInTheRing(t *testing.T) {
	dir := t.TempDir()
	want := map[envelope.KID]bool{}
	for _, name := range []string{"a", "b", "KEK 3", "9", "ключ"} {
		key := envelope.NewKey()
		want[keyOf(t, key)] = true
		write(t, filepath.Join(dir, name), key)
	}
	write(t, filepath.Join(dir, "primary"), []byte("KEK 3\n"))
	ring, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ring.KIDs() {
		delete(want, id)
	}
	if len(want) != 0 || len(ring.KIDs()) != 5 {
		t.Errorf("ring has %d keys and lacks %d of 5", len(ring.KIDs()), len(want))
	}
}

func TestCreateMakesWhatLoadReadsAndNeverOverwrites(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if err := Create(dir); err != nil {
		t.Fatal(err)
	}
	before, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v, %v, want it for the owner only", e.Name(), info.Mode(), err)
		}
	}
	if err := Create(dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over keys: %v, want fs.ErrExist", err)
	}
	if err := Create(t.TempDir()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over an empty directory: %v, want fs.ErrExist", err)
	}
	if after, err := Load(dir); err != nil || !after.Equal(before) {
		t.Errorf("Create changed an existing directory (%v)", err)
	}
}
