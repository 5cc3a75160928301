// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"fmt"
	"strings"
)

// A Decision is what becomes of a pod.
type Decision string

// The decisions.
const (
	Injected  Decision = "injected"  // the plan's patch makes it ours
	Unchanged Decision = "unchanged" // it already is what we would make of it
	Skipped   Decision = "skipped"   // it is none of our business
	Denied    Decision = "denied"    // it must not start; the problems say why
)

// A Reason says why a [Decision] was taken. The set is closed: [Reasons] lists it, docs/reasons-admission.md is generated from it.
type Reason string

// Reasons of pods that are let in.
const (
	ReasonInjected    Reason = "injected"
	ReasonNotOptedIn  Reason = "not_opted_in"
	ReasonMirrorPod   Reason = "mirror_pod"
	ReasonNotPodBirth Reason = "not_pod_creation"
)

// Reasons of pods that are refused.
const (
	ReasonNoEnvs            Reason = "no_envs"
	ReasonUnknownAnnotation Reason = "unknown_annotation"
	ReasonNoConsumer        Reason = "no_consumer"
	ReasonConsumerMalformed Reason = "consumer_malformed"
	ReasonNotBound          Reason = "not_bound"
	ReasonInlineMalformed   Reason = "inline_malformed"
	ReasonInlineLost        Reason = "inline_lost"
	ReasonNotGranted        Reason = "not_granted"
	ReasonContainerMissing  Reason = "container_missing"
	ReasonContainersInvalid Reason = "containers_invalid"
	ReasonTwoConsumers      Reason = "two_consumers"
	ReasonDeliveryInvalid   Reason = "delivery_invalid"
	ReasonDeliveryDenied    Reason = "delivery_denied"
	ReasonNoCommand         Reason = "no_command"
	ReasonExpansion         Reason = "expansion_lost"
	ReasonFilesPathInvalid  Reason = "files_path_invalid"
	ReasonOrderInvalid      Reason = "order_invalid"
	ReasonUnrepresentable   Reason = "unrepresentable"

	ReasonImageConfigInvalid      Reason = "image_config_invalid"
	ReasonImageConfigDryRun       Reason = "image_config_dry_run"
	ReasonImageRegistryNotAllowed Reason = "image_registry_not_allowed"
	ReasonImageConfigDenied       Reason = "image_config_denied"
	ReasonImageConfigUnavailable  Reason = "image_config_unavailable"
	ReasonImageConfigAmbiguous    Reason = "image_config_ambiguous"

	ReasonFilesModeInvalid   Reason = "files_mode_invalid"
	ReasonFilesBundleInvalid Reason = "files_bundle_invalid"
	ReasonRefreshInvalid     Reason = "refresh_invalid"
	ReasonRefreshNoFiles     Reason = "refresh_no_files"
	ReasonRefreshUnreachable Reason = "refresh_unreachable"
	ReasonRefreshUnsupported Reason = "refresh_unsupported"

	ReasonAudienceDenied   Reason = "audience_denied"
	ReasonTooMany          Reason = "too_many"
	ReasonEnvConflict      Reason = "env_conflict"
	ReasonEnvReserved      Reason = "env_reserved"
	ReasonNameTaken        Reason = "name_taken"
	ReasonVolumeMisused    Reason = "volume_misused"
	ReasonMountConflict    Reason = "mount_conflict"
	ReasonWrapper          Reason = "wrapper_malformed"
	ReasonWindows          Reason = "windows"
	ReasonUnsupported      Reason = "cluster_unsupported"
	ReasonSupportUnknown   Reason = "cluster_unknown"
	ReasonNamesUnavailable Reason = "names_unavailable"
	ReasonMalformed        Reason = "malformed_review"
	ReasonInternal         Reason = "internal"
)

// ReasonInfo describes a [Reason].
type ReasonInfo struct {
	Reason   Reason
	Decision Decision
	// Retryable tells that the same pod may be let in later without anybody changing it or a consumer.
	Retryable bool
	Meaning   string
	Fix       string
}

// Reasons is the catalogue, in the order of the documentation.
var Reasons = []ReasonInfo{
	{ReasonInjected, Injected, false, "The pod receives the ENVs of its consumers.", ""},
	{ReasonNotOptedIn, Skipped, false, "The pod does not carry the label `lanyard.dev/inject: \"true\"`.", "Add the label to the pod template, if the pod was to be injected."},
	{ReasonMirrorPod, Skipped, false, "The pod mirrors a static pod, which the kubelet has already started.", "Static pods have no service account and cannot be injected."},
	{ReasonNotPodBirth, Skipped, false, "The request does not create a pod.", "Restrict the webhook's rules to CREATE of pods."},

	{ReasonNoEnvs, Denied, false, "The pod's consumers have no ENVs: there is nothing to receive.", "Add ENVs to the consumer, or remove the label from the pod."},
	{ReasonUnknownAnnotation, Denied, false, "The pod has an annotation of our domain that means nothing.", "Correct its spelling or remove it; docs/annotations.md lists those that exist."},
	{ReasonNoConsumer, Denied, false, "The pod opted in but names no consumer and refers to no secret.", "Set the annotation lanyard.dev/consumer: <organization>/<consumer>, or the value of an ENV to lanyard://<organization>/<secret>, or remove the label lanyard.dev/inject."},
	{ReasonConsumerMalformed, Denied, false, "An annotation does not name a consumer as <organization>/<consumer>.", "Correct the annotation."},
	{ReasonNotBound, Denied, false, "The consumer does not exist, or no binding lets this namespace and service account claim it. The two are not told apart, so that names cannot be guessed from outside.", "Add the binding to the consumer, or correct the annotation or the pod's serviceAccountName."},
	{ReasonInlineMalformed, Denied, false, "The value of an ENV begins with lanyard:// and is no reference to a secret, or stands where none can be.", "Write lanyard://<organization>/<secret> or lanyard://<organization>/<secret>#<version>, in a container or init container, under a name that is not reserved."},
	{ReasonInlineLost, Denied, false, "An ENV of a pod that was injected before stands for a value that neither the container's consumer has nor the init agent requests. It may have been an inline reference, which is lost if somebody removes or changes the init agent or its LANYARD_REQUEST.", "Write the ENV as it was before the injection, lanyard://<organization>/<secret>, or remove it."},
	{ReasonNotGranted, Denied, false, "A secret that the pod refers to inline does not exist, or no grant lets this namespace and service account refer to it. The two are not told apart, so that names cannot be guessed from outside.", "Grant the secret to the service account, or correct the reference or the pod's serviceAccountName."},
	{ReasonContainerMissing, Denied, false, "An annotation names a container that the pod does not have.", "Name one of the pod's containers or init containers."},
	{ReasonContainersInvalid, Denied, false, "The annotation lanyard.dev/containers cannot be used.", "Give a comma-separated list of container names, or *, next to lanyard.dev/consumer."},
	{ReasonTwoConsumers, Denied, false, "A container would receive two consumers.", "Keep either its own lanyard.dev/consumer.<container> or its place in lanyard.dev/containers."},
	{ReasonDeliveryInvalid, Denied, false, "An annotation lanyard.dev/delivery names no delivery of this version, or a container that receives no values.", "Use auto, envfile, exec, direct or file, or remove the annotation."},
	{ReasonDeliveryDenied, Denied, false, "The installation's policy, for the pod's namespace, or the consumer does not allow the delivery.", "Use a delivery that is allowed, which the message lists, or have it allowed at the consumer or in the injector's policy."},
	{ReasonNoCommand, Denied, false, "The deliveries exec and direct wrap the container's command, and neither the container has one nor, where it was looked up, its image.", "Set the container's command to the image's entry point, or, where the installation looks images up, the annotation lanyard.dev/image-config: lookup; or use the delivery file, or envfile if it can carry the values."},
	{ReasonImageConfigInvalid, Denied, false, "The annotation lanyard.dev/image-config has a value that means nothing.", "Set it to lookup, or remove it."},
	{ReasonImageConfigDryRun, Denied, false, "The container's command is to be looked up in its image. A dry run asks no image registry, and what it would say is not guessed.", "Create the pod, or set the container's command to the image's entry point."},
	{ReasonImageRegistryNotAllowed, Denied, false, "The container's command is to be looked up in its image, and the installation lets the injector ask that registry nothing, or none at all.", "Set the container's command to the image's entry point, or have the registry allowed (injector.imageConfig.registries in the chart)."},
	{ReasonImageConfigDenied, Denied, false, "The image registry shows the image neither to everybody nor to the pod's image pull secrets, or these could not be read.", "Correct the image's name or the pod's imagePullSecrets; have the injector allowed to read those of the namespace (injector.imageConfig.pullSecretNamespaces in the chart); or set the container's command to the image's entry point."},
	{ReasonImageConfigUnavailable, Denied, true, "The image registry could not be asked in time, or what it sent cannot be used.", "Nothing if it passes by itself; else see the message, or set the container's command to the image's entry point."},
	{ReasonImageConfigAmbiguous, Denied, false, "The image does not run one and the same command on every architecture that the pod may come to, or is there for none of them.", "Set nodeSelector kubernetes.io/arch to one architecture of the image, or the container's command to the image's entry point."},
	{ReasonExpansion, Denied, false, "A container of the delivery exec or direct refers to an injected ENV with $(NAME). The kubelet expands it before the value is there.", "Use the delivery envfile, or let the command read the ENV."},
	{ReasonFilesPathInvalid, Denied, false, "The annotation lanyard.dev/files-path cannot be used.", "Give an absolute path of letters, digits, '.', '_' and '-' that is not /, and the delivery file to a container; or remove the annotation."},
	{ReasonOrderInvalid, Denied, false, "The annotation lanyard.dev/order cannot be used.", "Use first, last or after:<init container>, such that the init agent runs before every init container that receives values; or remove the annotation."},
	{ReasonFilesModeInvalid, Denied, false, "The annotation lanyard.dev/files-mode cannot be used, or a container could not read its files with it.", "Use 0444, which only the container itself can reach; 0440 with a securityContext.fsGroup of the pod; or 0400 with a securityContext.runAsUser of the pod, not 0, that no such container overrides. Single files get one as NAME=MODE, after a comma."},
	{ReasonFilesBundleInvalid, Denied, false, "The annotation lanyard.dev/files-bundle names no format, or no container has files.", "Use json, dotenv, properties or several of them, separated by commas, in a pod that has a container with the delivery file."},
	{ReasonRefreshInvalid, Denied, false, "An annotation lanyard.dev/refresh… has a value that cannot be used, or they do not go together.", "Give lanyard.dev/refresh an interval from 10s to 24h, or off, and beside it at most one of lanyard.dev/refresh-http, -signal and -restart."},
	{ReasonRefreshNoFiles, Denied, false, "The pod asks for a refresh, and no container receives its values as files.", "Choose the delivery file for the container, or remove lanyard.dev/refresh and replace the pod when a value has changed."},
	{ReasonRefreshUnreachable, Denied, false, "The sidecar could not tell the container of new files in the way that is asked for.", "For lanyard.dev/refresh-http: no hostNetwork, and the port among the container's ports. For lanyard.dev/refresh-signal: shareProcessNamespace: true and one runAsUser, not 0, for the containers with files."},
	{ReasonRefreshUnsupported, Denied, false, "The API server is too old for native sidecars (Kubernetes 1.29), or for a restart of all containers (1.36).", "Remove lanyard.dev/refresh, or tell the containers in another way than lanyard.dev/refresh-restart, or upgrade the cluster."},
	{ReasonUnrepresentable, Denied, false, "The current value of an ENV cannot be carried unchanged by the delivery.", "Use a delivery that can, which file always can, store the value in another encoding, such as base64, or take the ENV out of the consumer."},
	{ReasonAudienceDenied, Denied, false, "A secret of the pod is read with the pod's own token for an audience that the operator does not let pods have tokens of.", "Have the audience allowed (providers.podAudiences in the chart), or give the provider a login of its own."},
	{ReasonTooMany, Denied, false, "The pod exceeds a limit of the resolve protocol.", "Split the consumer, or give it to fewer containers."},
	{ReasonEnvConflict, Denied, false, "A container already sets an ENV that is injected, or refers to secrets under one name twice, and nothing is overridden silently.", "Remove the ENV from the container or from the consumer."},
	{ReasonEnvReserved, Denied, false, "A container that receives values sets an ENV beginning with LANYARD_, which belong to the init agent.", "Rename the ENV."},
	{ReasonNameTaken, Denied, false, "A container or volume has a name of ours and is not what we inject.", "Rename it."},
	{ReasonVolumeMisused, Denied, false, "A container reaches into a volume that only the init agent or another container may use.", "Remove the volume mount or the fileKeyRef."},
	{ReasonMountConflict, Denied, false, "A container mounts a volume where its values or the init agent's binary go.", "Mount it elsewhere, or choose another lanyard.dev/files-path."},
	{ReasonWrapper, Denied, false, "A container's command begins with the init agent's binary and is not what we inject.", "Give the container its own command; the injector wraps it."},
	{ReasonWindows, Denied, false, "The pod is for Windows nodes, where the init agent does not run.", "Remove the label lanyard.dev/inject."},
	{ReasonUnsupported, Denied, false, "The cluster cannot do the delivery: envfile begins with Kubernetes 1.35, direct with 1.36 and containerd 2.1 or CRI-O 1.34 on every schedulable Linux node.", "Use the delivery exec or file, or upgrade what is too old."},
	{ReasonSupportUnknown, Denied, true, "The injector has not learnt the API server's version or the nodes yet.", "Nothing if it passes by itself; else see the injector's log."},
	{ReasonNamesUnavailable, Denied, true, "The injector has not received the consumers' names from the secret registry since it started.", "Nothing if it passes by itself; else check the secret registry and the injector's log."},
	{ReasonMalformed, Denied, false, "The pod in the admission review could not be read.", "Report it: the API server only sends pods that decode."},
	{ReasonInternal, Denied, true, "The injector met an error it does not know.", "Look up the request's UID in the injector's log and report it."},
}

var reasonInfo = func() map[Reason]ReasonInfo {
	m := make(map[Reason]ReasonInfo, len(Reasons))
	for _, info := range Reasons {
		m[info.Reason] = info
	}
	return m
}()

// Info returns what the catalogue says of r.
func (r Reason) Info() ReasonInfo { return reasonInfo[r] }

// A Problem is one reason to refuse a pod.
type Problem struct {
	Reason Reason
	Field  string // path of the offending field, as kubectl explain writes it
	Detail string // what is wrong there; names only
}

// String returns what a person reads: the field, what is wrong with it and, from the catalogue, the fix.
func (p Problem) String() string {
	var b strings.Builder
	if p.Field != "" {
		b.WriteString(p.Field)
		b.WriteString(": ")
	}
	fmt.Fprintf(&b, "%s [%s]", p.Detail, p.Reason)
	if fix := p.Reason.Info().Fix; fix != "" {
		b.WriteString(". Fix: ")
		b.WriteString(strings.TrimSuffix(fix, "."))
	}
	return b.String()
}

// maxProblems bounds the message of a denial: a pod with more wrong is told of the rest when these are gone.
const maxProblems = 8

// Message joins the problems of a denied plan into what kubectl prints.
func (p *Plan) Message() string {
	parts := make([]string, 0, maxProblems+1)
	for i, problem := range p.Problems {
		if i == maxProblems {
			parts = append(parts, fmt.Sprintf("and %d more", len(p.Problems)-maxProblems))
			break
		}
		parts = append(parts, problem.String())
	}
	return strings.Join(parts, "; ")
}

// Told is what the pod's owners are told of a pod that is not injected: the refusal, or why it was let in as it is. Of any other pod it is empty.
func (p *Plan) Told() string {
	switch p.Decision {
	case Denied:
		return p.Message()
	case Skipped:
		return "not injected: " + p.Reason.Info().Meaning + " [" + string(p.Reason) + "]"
	}
	return ""
}
