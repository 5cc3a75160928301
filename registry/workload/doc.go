// SPDX-License-Identifier: Apache-2.0

// Package workload looks after the pods that received values: it notices that one is gone, so that its record goes too, and stops
// those that should start anew.
//
// What a pod received is recorded by the store, in the transaction of the audit event and before a value leaves (docs/adr/0014). A record goes only when the
// API server of its cluster has said about that very pod that it is gone or finished: an API server that does not answer, or a label that was taken off, says
// nothing about a pod.
package workload
