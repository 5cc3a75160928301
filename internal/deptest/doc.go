// SPDX-License-Identifier: Apache-2.0

// Package deptest states which package may import which, and why. It holds only a test: the rules are the table in deptest_test.go.
package deptest
