// SPDX-License-Identifier: Apache-2.0

// Package store keeps organizations, secrets, consumers and audit events in etcd, and is the only door to them.
//
// One object is one key under the prefix, a JSON payload inside a record whose MAC is bound to that key. Every mutation is one etcd transaction that
// compares what it read and writes the object, its indexes, its references and its audit event together.
package store
