// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/lanyard-dev/lanyard/e2e/cluster/internal/hostnet"
	"github.com/lanyard-dev/lanyard/e2e/cluster/internal/process"
)

// state is what has been done to the machine, and so what Remove must undo. It
// is written before each step, so that a run that is killed can be undone too.
type state struct {
	Name string `json:"name"`
	// BootID tells a process table from the one of an earlier boot.
	BootID string `json:"boot_id"`
	// Owner is the program the cluster ends with. If nil, the cluster stays
	// until somebody removes it.
	Owner     *process.Record  `json:"owner,omitempty"`
	Ranges    hostnet.Ranges   `json:"ranges"`
	Processes []process.Record `json:"processes"`
	// Settings are kernel settings as they were before: name → value.
	Settings map[string]string `json:"settings"`
	// Created are directories outside the cluster's own that programs make at
	// fixed places, and that did not exist before.
	Created []string `json:"created"`
	// Tools are the directories of binaries: part → directory.
	Tools map[string]string `json:"tools"`
	// Gates are the kubelet's feature gates where they differ from its defaults.
	Gates map[string]bool `json:"gates,omitempty"`
}

const stateFile = "state.json"

func (c *Cluster) save() error {
	content, err := json.MarshalIndent(c.state, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding state: %w", err)
	}
	path := filepath.Join(c.dir, stateFile)
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return fmt.Errorf("writing state: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing state: %w", err)
	}
	return nil
}

// read returns the cluster whose files are in dir, or an error wrapping
// fs.ErrNotExist.
func read(dir string) (*Cluster, error) {
	content, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return nil, fmt.Errorf("reading state: %w", err)
	}
	c := &Cluster{dir: dir}
	if err := json.Unmarshal(content, &c.state); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", filepath.Join(dir, stateFile), err)
	}
	return c, nil
}

// list returns every cluster that has left a state below root.
func list(root string) ([]*Cluster, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing clusters: %w", err)
	}
	var all []*Cluster
	for _, entry := range entries {
		c, err := read(filepath.Join(root, entry.Name()))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// inUse reports whether somebody still relies on the cluster: its owner lives,
// or it has none and any part of it runs.
func (c *Cluster) inUse() bool {
	if c.state.BootID != bootID() {
		return false
	}
	if c.state.Owner != nil {
		return c.state.Owner.Alive()
	}
	return slices.ContainsFunc(c.state.Processes, process.Record.Alive)
}

func (c *Cluster) process(name string) (process.Record, bool) {
	i := slices.IndexFunc(c.state.Processes, func(r process.Record) bool { return r.Name == name })
	if i < 0 {
		return process.Record{}, false
	}
	return c.state.Processes[i], true
}

// remember replaces what is known about the process of that name.
func (c *Cluster) remember(r process.Record) error {
	c.state.Processes = slices.DeleteFunc(c.state.Processes, func(old process.Record) bool { return old.Name == r.Name })
	c.state.Processes = append(c.state.Processes, r)
	return c.save()
}

// lock serializes changes to the machine between programs. It is taken for
// starting and for removing a cluster, not for its life.
func lock(root string) (unlock func(), err error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("creating %s: %w", root, err)
	}
	file, err := os.OpenFile(filepath.Join(root, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening lock: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.New("another program is starting or removing a cluster on this machine; hint: wait for it, then try again")
		}
		return nil, fmt.Errorf("locking: %w", err)
	}
	return func() { file.Close() }, nil
}

func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(id))
}
