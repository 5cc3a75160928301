// SPDX-License-Identifier: Apache-2.0

// Package lease looks after the credentials that dynamic engines make for one pod: the user of a database, the keys of a cloud role.
//
// A [Ledger] writes a lease down before its values leave, with what renews and revokes it sealed, and with an audit event. If the answer does not reach the pod, the lease is marked to
// be revoked. A [Keeper], on one replica at a time, renews leases ahead of their end and revokes those that are marked or whose pod is gone.
//
// Doubt never revokes. A pod is gone only when its API server said so twice, some time apart: that there is no pod of that name, that there is another one, or that all its containers
// have finished for good. An API server that cannot be reached, or that answers anything else, changes nothing; the lease is renewed meanwhile.
//
// That a lease ends is decided once, by a comparison in the transaction that records the decision. Revoking is then tried until the provider did it, does not know the lease, or
// has taken it back by itself. A process that dies between the provider's answer and the removal of the record leaves a lease that is revoked again, which providers take well.
package lease
