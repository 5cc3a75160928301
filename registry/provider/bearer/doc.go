// SPDX-License-Identifier: Apache-2.0

// Package bearer authenticates the requests of providers whose servers take OAuth 2.0 access tokens: Azure and Google Cloud.
//
// A [Client] gets a token when it needs one, shares it among all requests, and replaces it before it ends or when the server refuses it. Tokens are in memory only. [Exchange] gets one from a token
// endpoint. Nothing is taken from the environment, a metadata service or a file, which is why no credential library of the clouds is used.
package bearer
