// SPDX-License-Identifier: Apache-2.0

package wire

// A Code says why a resolve, or one item of it, was refused. The set is closed: [Codes] lists it, docs/reasons.md explains it, and a test compares the two.
type Code string

// Codes of the request as a whole.
const (
	CodeInvalid          Code = "invalid_request"
	CodeTooLarge         Code = "request_too_large"
	CodeUnauthenticated  Code = "unauthenticated"
	CodeNotBound         Code = "not_bound"
	CodeNotGranted       Code = "not_granted"
	CodeDeliveryDenied   Code = "delivery_denied"
	CodePodNotEligible   Code = "pod_not_eligible"
	CodeNodeUnsupported  Code = "node_unsupported"
	CodeUnresolved       Code = "unresolved" // Items say which and why
	CodeOverloaded       Code = "overloaded"
	CodeAuthUnavailable  Code = "auth_unavailable"
	CodeStoreUnavailable Code = "store_unavailable"
	CodeAuditUnavailable Code = "audit_unavailable"
	CodeKeyUnavailable   Code = "key_unavailable"
	CodeInternal         Code = "internal"
)

// Codes of one item.
const (
	CodeEnvMissing          Code = "env_missing"
	CodeSecretMissing       Code = "secret_missing"
	CodeVersionMissing      Code = "version_missing"
	CodeUnrepresentable     Code = "unrepresentable"
	CodeIntegrity           Code = "integrity"
	CodeProviderUnavailable Code = "provider_unavailable"
	CodeProviderThrottled   Code = "provider_throttled"
	CodeProviderDenied      Code = "provider_denied"
	CodeProviderNotFound    Code = "provider_not_found"
	CodeProviderInvalid     Code = "provider_invalid"
)

// CodeInfo describes a [Code].
type CodeInfo struct {
	Code Code
	// Status is the HTTP status the registry answers with; 0 for codes of items.
	Status int
	// Retryable tells the agent that the same request may succeed later without anybody changing the configuration.
	Retryable bool
	Meaning   string
	Fix       string
}

// Codes is the catalogue, in the order of the documentation.
var Codes = []CodeInfo{
	{CodeInvalid, 400, false, "The request is malformed or of an unknown protocol version.", "Use an init agent no newer than the registry."},
	{CodeTooLarge, 413, false, "The request's body or token exceeds its limit.", "Split the pod's ENVs over fewer containers or consumers."},
	{CodeUnauthenticated, 401, false, "The pod's token was not accepted: not for our audience, expired, not bound to a pod, or its pod or service account is gone.", "Recreate the pod. If it happens to every pod, compare the audience of the injector with that of the registry."},
	{CodeNotBound, 403, false, "The consumer does not exist or no binding lets this namespace and service account claim it.", "Add the binding to the consumer, or correct the consumer annotation or the pod's service account."},
	{CodeNotGranted, 403, false, "A secret that the pod refers to inline does not exist, or no grant lets this namespace and service account refer to it.", "Grant the secret to the pod's service account, or correct the reference or the pod's service account."},
	{CodeDeliveryDenied, 403, false, "The consumer does not allow the delivery by which a container is to receive its values.", "Recreate the pod, so that admission chooses another, change the annotation lanyard.dev/delivery, or allow the delivery at the consumer."},
	{CodePodNotEligible, 409, true, "The live pod does not match its token yet, or it is being deleted.", "Nothing if it passes by itself; a deleted pod gets no values."},
	{CodeNodeUnsupported, 409, false, "The pod's node cannot do the delivery: its kubelet, or for direct its container runtime, is too old.", "Upgrade the node, keep the pod off it, or choose another delivery."},
	{CodeUnresolved, 424, false, "At least one ENV has no value; the items say which and why.", "See the code of each item."},
	{CodeOverloaded, 429, true, "The registry is at its limit of concurrent work.", "Nothing; the agent tries again. Add replicas if it lasts."},
	{CodeAuthUnavailable, 503, true, "The Kubernetes API server could not be asked about the token or the pod.", "Check the API server and the registry's service account."},
	{CodeStoreUnavailable, 503, true, "etcd could not be read.", "Check etcd; the agent tries again."},
	{CodeAuditUnavailable, 503, true, "The audit record was not accepted, so nothing was released.", "Check the audit sinks."},
	{CodeKeyUnavailable, 503, true, "A key-encryption key is missing from the key ring.", "Put the key named in the registry's log back into the key ring Secret."},
	{CodeInternal, 500, true, "The registry met an error it does not know.", "Look up the request id in the registry's log."},

	{CodeEnvMissing, 0, false, "The consumer no longer has this ENV.", "Recreate the pod, so that it refers to the ENVs the consumer has now."},
	{CodeSecretMissing, 0, false, "The secret this ENV refers to does not exist or was deleted.", "Undelete the secret, or change the consumer's ENV."},
	{CodeVersionMissing, 0, false, "The secret has no active version.", "Put a value, or activate a version."},
	{CodeUnrepresentable, 0, false, "The value cannot be carried unchanged by this delivery.", "Use another delivery, or another encoding of the value."},
	{CodeIntegrity, 0, false, "The stored record is corrupt or was changed by somebody without the key.", "Restore the record from a backup and find out who wrote to etcd."},
	{CodeProviderUnavailable, 0, true, "The provider did not answer, or answered with an error of its own.", "Check the provider; the agent tries again."},
	{CodeProviderThrottled, 0, true, "The provider asked for fewer requests.", "Nothing; the agent tries again."},
	{CodeProviderDenied, 0, false, "The provider refused the registry's credentials or the path.", "Correct the provider's credentials or policy."},
	{CodeProviderNotFound, 0, false, "The provider has nothing at this path and key.", "Correct the secret's remote path, key or version."},
	{CodeProviderInvalid, 0, false, "The provider's answer or the secret's reference cannot be used.", "Correct the secret's reference; the value must be a string or an object."},
}

var codeInfo = func() map[Code]CodeInfo {
	m := make(map[Code]CodeInfo, len(Codes))
	for _, info := range Codes {
		m[info.Code] = info
	}
	return m
}()

// Info returns what is known of c. An unknown code, sent by a newer registry, is not retryable.
func (c Code) Info() CodeInfo {
	if info, ok := codeInfo[c]; ok {
		return info
	}
	return CodeInfo{Code: c}
}

// Retryable reports whether trying again can help: when the code itself says so or, for [CodeUnresolved], when every item does. One item that can never
// succeed makes the whole request final.
func (p *Problem) Retryable() bool {
	if p.Code != CodeUnresolved {
		return p.Code.Info().Retryable
	}
	for _, item := range p.Items {
		if !item.Code.Info().Retryable {
			return false
		}
	}
	return len(p.Items) > 0
}
