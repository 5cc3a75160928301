// SPDX-License-Identifier: Apache-2.0

// Package provider reads the values of remote secrets from the systems that keep them: Vault, and others after it.
//
// A [Provider] speaks to one server with one set of credentials; each kind of server is a [Type] in a package of its own, and package providertest holds what all of them
// must do. The [Manager] opens providers from their records and stands between them and the resolver:
//
//   - No value is cached. A read is shared only by requests that arrived before it began, so that a value replaced at the provider is never handed out to a pod that
//     started afterwards. For one path there is at most one read on the way and one group of requests waiting for the next.
//   - What the requests of one resolve read from one path comes from one read ([Manager.Begin]): the user name and the password of one dynamic credential, or of one version.
//   - Each provider has its own bound on concurrent reads, its own circuit breaker, retry budget and pause. The dead server of one organization costs others nothing.
//   - A provider is opened anew whenever anything in its record changes. Tokens live in the opened provider only, so none outlives the address or the credentials it was
//     got with.
//
// Values pass through the memory of this package and are in nothing else it produces: errors, logs and metrics hold codes of closed sets, names and paths.
package provider
