// SPDX-License-Identifier: Apache-2.0

// Package workloadauth proves on a real Kubernetes API server that the registry
// gives values to nobody but live pods: every kind of token a pod, a node or a
// thief could present is made with TokenRequest, or forged, and sent to a running
// registry over HTTP.
//
// It needs an API server and a registry that reviews tokens there, and neither a
// kubelet nor controllers. No consumer has to exist: a pod that was authenticated
// is told that it is not bound, one that was not is told nothing.
//
// What cannot be made with a real API server is proven in registry/authn: tokens
// expire after ten minutes at the earliest, and neither the service account nor
// the node of a pod changes.
//
// Environment:
//
//	LANYARD_E2E_KUBECONFIG    an administrator's credentials
//	LANYARD_E2E_WORKLOAD_URL  the registry's workload listener
//	LANYARD_E2E_WORKLOAD_CA   file with the CA of its certificate; not with http
//	LANYARD_E2E_AUDIENCE      of its tokens; "lanyard" if empty
package workloadauth
