// SPDX-License-Identifier: Apache-2.0

// Package profile keeps the registries a person works with, and the tokens for them, in a file only that person may read.
package profile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"sigs.k8s.io/yaml"
)

// File is the content of a configuration file. It holds tokens: nothing but [File.Save] writes it anywhere.
type File struct {
	Current  string             `json:"current,omitempty"` // name of the context that is used unless another is named
	Contexts map[string]Context `json:"contexts,omitempty"`
}

// Context is one registry.
type Context struct {
	Server       string `json:"server"`
	Organization string `json:"organization,omitempty"`
	CAFile       string `json:"ca_file,omitempty"`
	ServerName   string `json:"server_name,omitempty"`
	Token        string `json:"token,omitempty"` // secret
}

// ErrInsecure means that others may read or change the file.
var ErrInsecure = errors.New("others have permissions on it")

// maxFile bounds what is read: hundreds of contexts.
const maxFile = 1 << 20

// Load reads the file at path. One that is absent is empty. It returns an error wrapping [ErrInsecure] if anybody but the owner has permissions on it;
// no error repeats its content.
func Load(path string) (File, error) {
	content, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return File{}, nil
	}
	if err != nil {
		return File{}, fmt.Errorf("reading the configuration: %w", err)
	}
	var file File
	if err := yaml.UnmarshalStrict(content, &file); err != nil { // the library's words may quote a token
		return File{}, fmt.Errorf("reading the configuration: %s does not hold what login writes", path)
	}
	return file, nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxFile)
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s has mode %04o: %w", path, info.Mode().Perm(), ErrInsecure)
	}
	content := make([]byte, info.Size())
	n, err := f.ReadAt(content, 0)
	if n == len(content) {
		err = nil
	}
	return content, err
}

// Save replaces the file at path as a whole, readable by its owner only. A directory that is missing is made.
func (f File) Save(path string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing the configuration: %w", err)
		}
	}()
	content, err := yaml.Marshal(f)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	fresh, err := os.CreateTemp(dir, ".config-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(fresh.Name()) //nolint:errcheck // it is gone after the rename
	_, err = fresh.Write(content)
	if err = errors.Join(err, fresh.Sync(), fresh.Close()); err != nil {
		return err
	}
	return os.Rename(fresh.Name(), path)
}
