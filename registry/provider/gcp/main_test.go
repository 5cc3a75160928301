// SPDX-License-Identifier: Apache-2.0

package gcp_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails if a closed provider leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
