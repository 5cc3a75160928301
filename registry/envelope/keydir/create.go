// SPDX-License-Identifier: Apache-2.0

package keydir

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/lanyard-dev/lanyard/registry/envelope"
)

// Create makes a directory, which must not exist yet, with one new key as its
// primary. It is for development and tests; in a cluster the chart's Job
// creates the Secret. It never touches an existing directory, however empty:
// a new key over existing data would lock that data for ever. Interrupted, it
// leaves a directory that [Load] refuses.
//
// The files are readable by their owner only.
func Create(dir string) error {
	const name = "kek-1"
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("creating key directory: %w", err)
	}
	key := envelope.NewKey()
	defer clear(key)
	if err := os.WriteFile(filepath.Join(dir, name), key, 0o400); err != nil {
		return fmt.Errorf("creating key directory: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, primaryFile), []byte(name+"\n"), 0o400); err != nil {
		return fmt.Errorf("creating key directory: %w", err)
	}
	return nil
}
