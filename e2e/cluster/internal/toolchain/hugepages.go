// SPDX-License-Identifier: Apache-2.0

package toolchain

import (
	"bytes"
	"os"
	"sync"
)

// hugePages is where Linux says whether it backs memory with huge pages: for
// all programs, for those that advise it, or for none.
const hugePages = "/sys/kernel/mm/transparent_hugepage/enabled"

// builds are those of this program that use huge pages.
var builds = users{setting: hugePages}

// UseHugePages lets all programs have huge pages until the last caller has
// called done, if the machine gives them to programs that advise it only, as many
// distributions have it. Go's compiler does not advise it, and on a virtual machine
// is a third faster with them. Where they are off altogether they stay off.
// Without the right to change it nothing happens.
func UseHugePages() (done func()) { return builds.add() }

type users struct {
	setting string

	mu      sync.Mutex // guards count and changed
	count   int
	changed bool
}

func (u *users) add() (done func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.count++; u.count == 1 {
		before, err := os.ReadFile(u.setting)
		u.changed = err == nil && bytes.Contains(before, []byte("[madvise]")) && os.WriteFile(u.setting, []byte("always"), 0) == nil
	}
	return u.remove
}

func (u *users) remove() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.count--; u.count == 0 && u.changed {
		_ = os.WriteFile(u.setting, []byte("madvise"), 0) // what could be written before can be again
	}
}
