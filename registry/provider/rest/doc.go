// SPDX-License-Identifier: Apache-2.0

// Package rest is what providers that speak HTTP have in common: a client on the egress guard's leash, and what it means when there is no answer. It knows none of the
// servers; what their answers mean is for the package of each provider.
package rest
