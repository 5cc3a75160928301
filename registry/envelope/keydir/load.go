// SPDX-License-Identifier: Apache-2.0

package keydir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lanyard-dev/lanyard/registry/envelope"
)

const (
	primaryFile = "primary"
	dataLink    = "..data" // the kubelet's link to the current copy of a Secret

	// maxFile bounds what is read of one file. A key is 44 characters and a
	// file name at most 255 bytes; anything longer is not ours.
	maxFile = 1 << 10

	// maxAttempts bounds the reading of a directory that is replaced while it
	// is read. The kubelet replaces it at most once per sync, about a minute.
	maxAttempts = 100
)

var (
	// ErrEmpty reports a directory without a key.
	ErrEmpty = errors.New("no key file")

	// ErrNoPrimary reports that the file "primary" is missing.
	ErrNoPrimary = errors.New("no file says which key is the primary")

	// ErrPrimaryUnknown reports that "primary" names none of the key files.
	ErrPrimaryUnknown = errors.New("it names none of the key files")

	// ErrDuplicate reports two files with the same key.
	ErrDuplicate = errors.New("two files hold the same key")

	// ErrNotFile reports a link, directory or other object among the keys.
	ErrNotFile = errors.New("not a regular file")

	// ErrTooLong reports a file too long to be a key or a name.
	ErrTooLong = errors.New("file is too long")

	// ErrBusy reports a "..data" link that dangles, or that moved during every
	// attempt to read what it leads to.
	ErrBusy = errors.New(`link "..data" leads nowhere or keeps moving`)
)

// Load reads the ring that dir holds. If dir has a "..data" link, the ring is
// exactly one of the copies the link pointed to, however often it is replaced
// meanwhile. A directory without the link has no such protection: replace its
// files by rename.
//
// Errors wrap one of this package's errors, [envelope.ErrKeyEncoding],
// [envelope.ErrKeyLength], [envelope.ErrKeyWeak] or an [fs.PathError].
func Load(dir string) (*envelope.Ring, error) {
	for range maxAttempts {
		ring, err := loadOnce(dir)
		if !errors.Is(err, errReplaced) {
			return ring, err
		}
	}
	return nil, fmt.Errorf("reading key directory %q: %w", dir, ErrBusy)
}

// errReplaced reports that the copy being read stopped being the current one.
var errReplaced = errors.New("directory was replaced")

// loadOnce reads one copy of the directory:
//
//  1. Resolve "..data" once, by opening what it points to; from here on files
//     are found relative to that open directory.
//  2. Read it.
//  3. Check that "..data" still leads there. The kubelet removes a copy, file
//     by file, only after it moved the link away, so a copy that is still
//     linked was complete throughout. While the directory is open its inode
//     number is not reused, so equal means same.
//
// What step 2 finds, including an error, counts only if step 3 agrees.
func loadOnce(dir string) (*envelope.Ring, error) {
	path := filepath.Join(dir, dataLink)
	root, err := os.OpenRoot(path) // 1
	linked := err == nil
	if errors.Is(err, fs.ErrNotExist) {
		if _, lerr := os.Lstat(path); lerr == nil {
			return nil, errReplaced // the link is there, its target just went
		}
		path = dir
		root, err = os.OpenRoot(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("opening key directory: %w", err)
	}
	defer root.Close()

	ring, err := read(root) // 2
	if linked {
		replaced, serr := replacedSince(root, path) // 3
		if serr != nil {
			return nil, fmt.Errorf("opening key directory: %w", serr)
		}
		if replaced {
			return nil, errReplaced
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading key directory %q: %w", dir, err)
	}
	return ring, nil
}

func replacedSince(root *os.Root, path string) (bool, error) {
	opened, err := root.Stat(".")
	if err != nil {
		return false, err
	}
	current, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return !os.SameFile(opened, current), nil
}

func read(root *os.Root) (*envelope.Ring, error) {
	names, err := list(root)
	if err != nil {
		return nil, err
	}
	keys := make(map[string]envelope.Key, len(names))
	owner := make(map[envelope.KID]string, len(names)) // :: kid → file name
	for _, name := range names {
		if name == primaryFile {
			continue
		}
		key, err := readKey(root, name)
		if err != nil {
			return nil, fmt.Errorf("key file %q: %w", name, err)
		}
		if first, dup := owner[key.KID()]; dup {
			return nil, fmt.Errorf("key files %q and %q: %w; remove one of them", first, name, ErrDuplicate)
		}
		keys[name], owner[key.KID()] = key, name
	}
	switch {
	case len(keys) == 0:
		return nil, fmt.Errorf("%w; add a file with 32 random bytes in base64", ErrEmpty)
	case !slices.Contains(names, primaryFile):
		return nil, fmt.Errorf("%w; add a file %q that holds the name of a key file", ErrNoPrimary, primaryFile)
	}
	return assemble(root, keys)
}

func assemble(root *os.Root, keys map[string]envelope.Key) (*envelope.Ring, error) {
	text, err := readFile(root, primaryFile)
	if err != nil {
		return nil, fmt.Errorf("file %q: %w", primaryFile, err)
	}
	name := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	primary, ok := keys[name]
	if !ok {
		// The content is not quoted: it may be a key that was put here by mistake.
		return nil, fmt.Errorf("file %q: %w; write the name of one key file, nothing else", primaryFile, ErrPrimaryUnknown)
	}
	others := make([]envelope.Key, 0, len(keys))
	for other, key := range keys {
		if other != name {
			others = append(others, key)
		}
	}
	return envelope.NewRing(primary, others...)
}

// list returns the sorted names that do not begin with a dot.
func list(root *os.Root) ([]string, error) {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if !e.Type().IsRegular() {
			return nil, fmt.Errorf("%q: %w; put the key files themselves into the directory", e.Name(), ErrNotFile)
		}
		names = append(names, e.Name())
	}
	return names, nil
}

func readKey(root *os.Root, name string) (envelope.Key, error) {
	text, err := readFile(root, name)
	if err != nil {
		return envelope.Key{}, err
	}
	defer clear(text)
	key, err := envelope.ParseKey(text)
	if err != nil {
		return envelope.Key{}, fmt.Errorf("%w; write 32 random bytes in standard base64 on one line", err)
	}
	return key, nil
}

func readFile(root *os.Root, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// One buffer of fixed size, so that no grown-out-of copy of a key is left behind.
	buf := make([]byte, maxFile+1)
	n, err := io.ReadFull(f, buf)
	switch {
	case err == nil:
		clear(buf)
		return nil, fmt.Errorf("%w; it can hold one base64 key or one file name", ErrTooLong)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return buf[:n], nil
	default:
		clear(buf)
		return nil, err
	}
}
