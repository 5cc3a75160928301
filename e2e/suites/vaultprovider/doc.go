// SPDX-License-Identifier: Apache-2.0

// Package vaultprovider runs the registry's Vault provider against a real Vault, without a cluster: the conformance suite that every provider must pass, each way to log
// in that the server offers, versions, revoked and short-lived tokens, rate limits, sealing, and a restart. Leases are obtained, renewed, revoked and
// abandoned by the registry's own store and keeper; only the pods are made up.
//
// It asserts what the fake of the unit tests only assumes.
package vaultprovider
