// SPDX-License-Identifier: Apache-2.0

// Package ginapi is the part of the administrators' API that is generated for Gin: routes, decoding and encoding. It is a package of its own because it
// imports the models of pkg/api without a qualifier, as its generator demands.
package ginapi
