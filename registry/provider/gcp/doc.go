// SPDX-License-Identifier: Apache-2.0

// Package gcp reads secrets from Google Cloud Secret Manager.
//
// It speaks the REST API itself: one GET for a secret, and one or two POSTs for an access token. Google's clients bring gRPC or a transport that looks for credentials in the environment, in files and at the
// metadata server, tens of modules for those requests, and errors that quote the answer. Payloads are verified with their CRC32C, as Google asks of clients.
package gcp
