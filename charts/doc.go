// SPDX-License-Identifier: Apache-2.0

// Package charts holds the Helm charts of Lanyard and the tests that render them. It has no code of its own.
//
// It is a module of its own so that Helm and the API server's admission library, which only the tests need, never reach the product's dependencies. Run the
// tests with "go test ./..." in this directory, and with -update to write the golden files and the values table of a chart's README anew.
package charts
