// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// wraps reports whether any container's command is run by the agent.
func (c *Config) wraps() bool {
	return slices.ContainsFunc(c.Request.Containers, func(r wire.ContainerRequest) bool { return r.Delivery == wire.DeliveryExec })
}

// installBinary copies the running program to dir, where any user may run it. A copy that is there already is replaced, never written to: a container of an
// older sandbox may still be running it.
func installBinary(dir string) (err error) {
	path, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding own program: %w", err)
	}
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening own program: %w", err)
	}
	defer func() { _ = in.Close() }()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("opening directory: %w", err)
	}
	defer func() { _ = root.Close() }()

	const temporary = "." + podspec.Binary + ".tmp"
	if err := root.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing: %w", err)
	}
	out, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o700)
	if err != nil {
		return fmt.Errorf("creating: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, root.Remove(temporary))
		}
	}()
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Chmod(0o555)
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("copying own program: %w", err)
	}
	if err := root.Rename(temporary, podspec.Binary); err != nil {
		return fmt.Errorf("renaming: %w", err)
	}
	return nil
}
