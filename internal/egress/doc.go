// SPDX-License-Identifier: Apache-2.0

// Package egress decides where the secret registry may connect on behalf of an organization, and the injector where an image registry leads it.
//
// The address of a secret provider is written by an owner of an organization, whom the operator of the installation trusts only so far. Without a guard the
// registry would be his proxy into the cluster: to the metadata service of the cloud, to etcd on loopback, to whatever trusts the registry's network. An image registry
// says where its tokens and blobs are, and is trusted no further.
//
// Two checks make the guard. [Guard.ParseAddress] refuses what is not plainly an https address and gives back the one canonical spelling of it. [Guard.Transport] checks
// the IP address of every connection when it is made, after the name was resolved, so that a name which resolves differently the second time gains nothing. The transport follows no
// redirect by itself (that is the client's part), uses no proxy and reads nothing from the environment of the process.
package egress
