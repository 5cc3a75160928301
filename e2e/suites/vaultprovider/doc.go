// SPDX-License-Identifier: Apache-2.0

// Package vaultprovider runs the registry's Vault provider against a real Vault, without a cluster: the conformance suite that every provider must pass, each way to log
// in that the server offers, versions, revoked and short-lived tokens, rate limits, sealing, and a restart.
//
// It asserts what the fake of the unit tests only assumes.
package vaultprovider
