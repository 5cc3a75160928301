// SPDX-License-Identifier: Apache-2.0

package toolchain

import (
	"bytes"
	"os"
)

// hugePages is where Linux says whether it backs memory with huge pages: for
// all programs, for those that advise it, or for none.
const hugePages = "/sys/kernel/mm/transparent_hugepage/enabled"

// useHugePages lets all programs have huge pages until restore is called, if
// the machine gives them to programs that advise it only, as many distributions
// have it. Go's compiler does not advise it, and on a virtual machine is a third
// faster with them. Where they are off altogether they stay off. Without the
// right to change it nothing happens.
func useHugePages(setting string) (restore func()) {
	before, err := os.ReadFile(setting)
	if err != nil || !bytes.Contains(before, []byte("[madvise]")) || os.WriteFile(setting, []byte("always"), 0) != nil {
		return func() {}
	}
	return func() { _ = os.WriteFile(setting, []byte("madvise"), 0) } // what could be written before can be again
}
