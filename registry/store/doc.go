// SPDX-License-Identifier: Apache-2.0

// Package store keeps organizations, their members and API tokens, secrets, secret providers, consumers and audit events in etcd, and is the only door to them.
//
// # Keys
//
// Keys hold ids and names only. Every value is a record of package envelope whose MAC is bound to its key and kind, so a record that was edited, moved or
// invented by somebody without a key-encryption key fails with [ErrIntegrity]. A version and a provider also hold an envelope, sealed for (organization, id,
// number, key); so does a lease. Under the prefix, /lanyard/v1/ by default:
//
//	key                                        kind           holds
//	activity/<org>/tokens/<id>                 token-use      when an API token was last used
//	audit/<chain>/events/<20-digit seq>        audit          events seq, seq+1, … and the hash before the first
//	audit/<chain>/head                         audit-head     last seq and hash; first kept seq and the hash before it
//	deletions/<org>                            organization-deletion  JSON: who deleted an organization, until nothing of it is left
//	devicecodes/<MAC of the code>              device-code    the id of the device a person lets in with the code; gone with its etcd lease
//	devices/<id>                               device         JSON with the SHA-256 of the device code; gone with its etcd lease
//	dynamic/lastgood/<org>/<provider>/<secret> last-known-good JSON, and the envelope of the value a provider gave last; gone with its etcd lease
//	dynamic/leaders/<work>                     –              which replica does some work; no record, gone with its etcd lease
//	dynamic/leases/<org>/<id>                  lease          JSON, and the envelope of what renews and revokes it
//	dynamic/redeemed/<SHA-256 of an ID token>  redeemed       what it was exchanged for; gone with its etcd lease
//	grants/<org>/<cluster>/<namespace>/<pod>/<uid>/<container>
//	                                           grant          what containers of a pod received in one answer, by ids; named by the first of them
//	idempotency/…                              (reserved)     leased
//	keys/<kid>                                 key-check      a value only that KEK can produce
//	orgs/<org>                                 organization   JSON
//	orgs/<org>/consumernames/<name>            consumer-name  the consumer's id
//	orgs/<org>/consumers/<id>                  consumer       JSON with ENVs and bindings
//	orgs/<org>/federatedtokens/<id>            federated-token JSON with the SHA-256 of its text; gone with its etcd lease
//	orgs/<org>/federations/<name>              federation     JSON: whose ID tokens are exchanged, and for what
//	orgs/<org>/invitations/<id>                invitation     JSON with the SHA-256 of the code; gone with its etcd lease
//	orgs/<org>/members/<principal>             member         JSON; the slash of a principal is escaped
//	orgs/<org>/providernames/<name>            provider-name  the provider's id
//	orgs/<org>/providers/<id>                  provider       JSON and the envelope of the credentials, if there are any
//	orgs/<org>/secretnames/<name>              secret-name    the secret's id, also while it is soft-deleted
//	orgs/<org>/secrets/<id>                    secret         JSON, metadata only
//	orgs/<org>/tokens/<name>                   api-token      JSON with the SHA-256 of the token
//	orgs/<org>/versions/<secret>/<20-digit n>  version        JSON metadata and the envelope; a destroyed one keeps only the metadata
//	people/administrators/<principal>          administrator  JSON; the slash of a principal is escaped
//	people/bootstrap                           bootstrap      when the bootstrap token ended, and with whom; absent until then
//	schema                                     schema         {current, min_reader, min_writer}
//	sessions/<id>                              session        JSON with the SHA-256 of its text; gone with its etcd lease
//	sessionuses/<id>                           session-use    when a session was used last
//	slugs/<slug>                               slug           the organization's id
//	tip                                        tip            nothing; its mod revision is that of the newest mutation
//
// <chain> is an organization's id, or "installation". Everything from keys/ on is watched into memory; activity/, audit/, deletions/, devicecodes/,
// devices/, dynamic/, grants/ and idempotency/ sort before it and are not.
//
// # Writes
//
// A mutation is one transaction of at most ten operations, whatever the size of the object: object, indexes, tip, audit events and audit head. It compares
// the head of the organization's audit chain, which every other mutation of that organization writes. So mutations of one organization happen one after the
// other, over all replicas, and each is decided on everything the one before it did: a deletion of a secret and a new reference to it cannot both succeed.
// A conflict is retried on fresh data, a bounded number of times.
//
// There is no stored reference index: who uses a secret is computed from the (verified) consumers, who uses a provider from the secrets, which the
// serialization makes exact.
//
// # Reads
//
// A read asks etcd, with a quorum, for the mod revision of tip and waits until memory has applied it; callers share such reads, but none that began before
// they arrived. It never returns what was replaced before it began; rather than that it fails with [ErrUnavailable]. See docs/adr/0003.
package store
