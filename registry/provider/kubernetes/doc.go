// SPDX-License-Identifier: Apache-2.0

// Package kubernetes reads Secrets of Kubernetes: those of another cluster with a token of the record, and those of the registry's own cluster with the registry's own
// service account, from the namespaces the operator lists.
//
// One GET reads one Secret. There is no informer: a cache would hold every Secret of a namespace and answer with what was there before.
package kubernetes
