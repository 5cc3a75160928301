// SPDX-License-Identifier: Apache-2.0

// Package cluster provides a disposable, real Kubernetes for the end-to-end
// suites, the benchmarks and the demo.
//
// There are two drivers. Host runs every component as a process on this
// machine, compiled from Go modules on first use; it needs Linux and root, and
// neither a container daemon nor any image from elsewhere. Kind uses the
// library of that name where a Docker daemon and its node image are at hand.
// Detect chooses; the environment variable LANYARD_E2E_DRIVER overrides it.
//
// What a cluster offers, with either driver:
//
//   - one schedulable node, RBAC, all default controllers and admission plugins;
//   - Services, also from the machine itself and from the API server;
//   - service-account tokens that the API server reviews, also from pods;
//   - a default StorageClass that binds a claim when its pod is scheduled;
//   - names of Services through DNS;
//   - images imported by Load, for which pods need imagePullPolicy Never or
//     IfNotPresent, and those of a registry that TrustRegistry named.
//
// With the host driver nothing leaves the machine: pods reach each other and
// the node. A volume is never reused, and there are 24 of them.
//
// Environment:
//
//	LANYARD_E2E_DRIVER  host or kind, instead of what Detect finds
//	LANYARD_CACHE       where compiled binaries are kept, instead of "lanyard"
//	                    in the user's cache directory
package cluster
