// SPDX-License-Identifier: Apache-2.0

// Package installation puts Lanyard onto a cluster the way a user does: images built from this checkout, `helm install`, and the administrators' API
// reached with the bootstrap token. It knows the product by its chart and its HTTP API only.
package installation
