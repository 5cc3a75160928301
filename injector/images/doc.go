// SPDX-License-Identifier: Apache-2.0

// Package images asks image registries what an image runs by itself: its entry point and command, on each architecture a pod may come to.
//
// It is the one thing the injector asks of somebody else while it admits a pod, and only for pods that ask for it. So everything is bounded: which registries, how long, how much
// and how many at once. What cannot be found out within that is an [Error] with a text of ours; what a registry says of itself is never passed on.
//
// # Whose credentials
//
// Nobody's first, then those of the pod's image pull secrets, chosen as the kubelet chooses them. What was read with one credential never answers for another: it is part of every key
// of the cache, as a hash whose key the process makes for itself. Credentials are read anew for every pod and are not kept.
//
// # Where it connects
//
// To the registries the operator named, wherever they are. A registry may lead elsewhere for two things: the token service of its challenge, which gets the credential, and blobs by
// redirect, which get none. Elsewhere is https only, and no loopback, link-local or metadata address, whatever a name resolves to (package egress).
package images
