// SPDX-License-Identifier: Apache-2.0

// Package vault reads secrets from HashiCorp Vault and from OpenBao, which speaks the same protocol.
//
// It reads KV version 1 and 2 and any other engine whose secrets are read with GET (database, aws, …). It logs in with a token, an AppRole, a JWT or the registry's own Kubernetes service
// account, and keeps the token it gets in memory only.
//
// The client library is HashiCorp's own, held on a short leash: it reads the environment of the process, follows redirects with the token in hand, retries by itself, returns
// bodies inside errors and has no limit for them. Everything it could take from the environment is set or cleared here, it never follows, never retries, and its errors are replaced.
package vault
