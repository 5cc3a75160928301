// SPDX-License-Identifier: Apache-2.0

// Package rest is what providers that speak HTTP have in common: a client on the egress guard's leash, what it means when there is no answer, and what a status means that says the same of any server. It
// knows none of the servers; what else their answers mean is for the package of each provider.
package rest
