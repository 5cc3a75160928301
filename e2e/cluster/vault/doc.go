// SPDX-License-Identifier: Apache-2.0

// Command vault is a HashiCorp Vault server for tests: in memory, unsealed,
// with KV version 2 mounted at kv/ and the approle and kubernetes
// authentication methods available to be enabled.
//
// It links Vault itself, which is under the Business Source License. That is
// why it is a module of its own: it is built on the machine that runs the
// end-to-end tests, it is never part of a release or an image, and nothing that
// is imports it.
//
// It is not for keeping secrets: storage disappears with the process, the root
// token is printed, and traffic is plain HTTP. Listen on loopback, or on the
// node's address if pods must reach it.
package main
