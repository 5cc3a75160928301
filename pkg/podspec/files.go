// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// FileModes are those that files of the file delivery may have, the default first: nobody but their container can reach the volume they are in. The others are for
// applications that refuse a file others might read, such as the private keys of ssh or PostgreSQL.
var FileModes = []string{"0444", "0440", "0400"}

// FilesMode says which of [FileModes] each file has. The zero value gives the default to all.
type FilesMode struct {
	all fs.FileMode            // 0 means the default
	own map[string]fs.FileMode // :: file → its mode, where it differs
}

// ParseFilesMode reads the value of [AnnotationFilesMode]: a mode for all files, modes of single ones as NAME=MODE, or both, separated by commas.
func ParseFilesMode(text string) (FilesMode, error) {
	var m FilesMode
	if text == "" {
		return m, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		name, value, single := strings.Cut(strings.TrimSpace(part), "=")
		if !single {
			name, value = "", name
		}
		if !slices.Contains(FileModes, value) {
			return FilesMode{}, fmt.Errorf("has a mode that is none of %s", strings.Join(FileModes, ", "))
		}
		mode, err := strconv.ParseUint(value, 8, 32)
		if err != nil {
			return FilesMode{}, err // FileModes are octal
		}
		_, twice := m.own[name]
		switch {
		case !single && m.all != 0:
			return FilesMode{}, errors.New("has two modes for all files")
		case !single:
			m.all = fs.FileMode(mode)
		case name == "" || twice:
			return FilesMode{}, errors.New("names a file twice, or none in front of a mode")
		default:
			if m.own == nil {
				m.own = make(map[string]fs.FileMode)
			}
			m.own[name] = fs.FileMode(mode)
		}
	}
	return m, nil
}

// Of returns the mode of the file of that name.
func (m FilesMode) Of(name string) fs.FileMode {
	if mode, ok := m.own[name]; ok {
		return mode
	}
	if m.all != 0 {
		return m.all
	}
	return 0o444
}

// Named returns the files that have a mode of their own, in order.
func (m FilesMode) Named() []string {
	names := make([]string, 0, len(m.own))
	for name := range m.own {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Bundles are the formats in which all values of a container can be in one file, beside their own.
var Bundles = []string{BundleJSON, BundleDotenv, BundleProperties}

// The formats.
const (
	// BundleJSON is an object of strings. It carries every value that is UTF-8.
	BundleJSON = "json"
	// BundleDotenv has lines NAME='value'. It carries what all its readers, shells among them, agree on: neither quotes, backslashes nor control characters.
	BundleDotenv = "dotenv"
	// BundleProperties is what java.util.Properties loads. It carries every value that is UTF-8.
	BundleProperties = "properties"
)

// ParseBundles reads the value of [AnnotationFilesBundle]: formats, separated by commas.
func ParseBundles(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	var formats []string
	for format := range strings.SplitSeq(text, ",") {
		format = strings.TrimSpace(format)
		switch {
		case !slices.Contains(Bundles, format):
			return nil, fmt.Errorf("has a format that is none of %s", strings.Join(Bundles, ", "))
		case slices.Contains(formats, format):
			return nil, fmt.Errorf("has the format %s twice", format)
		}
		formats = append(formats, format)
	}
	return formats, nil
}

// BundleFile is the name of the bundle in that format. No ENV has a dot in its name.
func BundleFile(format string) string {
	if format == BundleDotenv {
		return "secrets.env"
	}
	return "secrets." + format
}
