// SPDX-License-Identifier: Apache-2.0

package version

import "testing"

func TestNeverEmpty(t *testing.T) {
	if got := String(); got == "" {
		t.Error("String() is empty")
	}
	release = "v1.2.3"
	t.Cleanup(func() { release = "" })
	if got := String(); got != "v1.2.3" {
		t.Errorf("String() = %q, want the release the build was given", got)
	}
}
