// SPDX-License-Identifier: Apache-2.0

// Package suites runs Lanyard on a real Kubernetes and checks, from outside, what it promises. `make e2e` runs all of it, `make e2e SUITE=name` one suite:
//
//	Injection     values reach containers byte for byte, nothing else is touched, rotation, restarts
//	Delivery      each way to hand values over, also of values an env file cannot carry, byte for byte
//	Refusal       what must not be admitted or started is not, and says why
//	Outage        registry, webhook and API server down: nothing starts without its secrets, everything recovers by itself
//	OldKubelet    a node that ignores fileKeyRef starts nothing
//	WorkloadAuth  tokens that must be refused, made by the API server itself
//	Remote        values from a real Vault: fresh, refused, missing, down and back; the registry's own service account; the operator's allow-list
//	LastKnownGood Vault down, where the organization prefers an old value: given, told of everywhere, and not after Vault refused
//	VaultPassThrough Vault decides by the pods' own service accounts, for an init agent, a sidecar, a container that fetches for itself
//	Inline        references to secrets in a pod's own ENVs: granted, pinned, refused at admission and at the start
//	Workloads     who has which version: the record of a running pod, stale, in the way of a delete, stopped
//	Restart       the kubelet alone restarts, containers are killed: as without injection
//	Quota         namespaces with a LimitRange, and with a ResourceQuota that demands limits
//	UserNamespace pods with users of their own, where the node can run them
//	Golden        the API server accepts every pod of the injector's golden files
//	Secrecy       no value, no pod's token for a provider and nothing it buys in any object, log, metric or file, nor in the container runtime where it has no need to know
//
// The suites share one cluster and one installation; each leaves both as it found them.
package suites
