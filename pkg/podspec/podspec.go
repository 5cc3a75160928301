// SPDX-License-Identifier: Apache-2.0

// Package podspec is what users write on a pod and what the injector writes into it: labels, annotations, names, paths, and the configuration handed to
// the init agent. Every such string stands here once.
package podspec

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Domain prefixes every label and annotation.
const Domain = "lanyard.dev/"

// LabelInject opts a pod in when its value is [InjectTrue]. It is a label because the API server can select webhooks by label: pods without it never
// reach the injector.
const (
	LabelInject = Domain + "inject"
	InjectTrue  = "true"
)

// Annotations a user sets. Unknown annotations of our domain are refused, so that a misspelled one does not silently do nothing.
const (
	// AnnotationConsumer names the consumer, <organization>/<consumer>, whose ENVs the pod's default container receives.
	AnnotationConsumer = Domain + "consumer"
	// AnnotationConsumerPrefix, followed by a container's name, gives that container a consumer of its own.
	AnnotationConsumerPrefix = AnnotationConsumer + "."
	// AnnotationContainers names the containers that receive the pod's consumer: a comma-separated list, or [AllContainers]. Without it it is the container
	// of [AnnotationDefaultContainer], else the first.
	AnnotationContainers = Domain + "containers"
	// AnnotationDelivery chooses how values reach the containers; see wire.Delivery.
	AnnotationDelivery = Domain + "delivery"
	// AnnotationDeliveryPrefix, followed by a container's name, chooses it for that container alone.
	AnnotationDeliveryPrefix = AnnotationDelivery + "."
	// AnnotationImageConfig, if [ImageConfigLookup], has the command of a container that names none looked up in its image, where a delivery needs it.
	AnnotationImageConfig = Domain + "image-config"
	// AnnotationOrder is the init agent's place among the init containers: [OrderFirst], [OrderLast] or [OrderAfter] with a name. Without it it is in front of
	// them, but behind native sidecars that are known to carry the pod's network.
	AnnotationOrder = Domain + "order"
	// AnnotationFilesPath is the directory in which containers with the file delivery find their values; [MountFiles] without it.
	AnnotationFilesPath = Domain + "files-path"
	// AnnotationFilesMode is the mode of those files; see [ParseFilesMode].
	AnnotationFilesMode = Domain + "files-mode"
	// AnnotationFilesBundle adds files with all values of a container; see [ParseBundles].
	AnnotationFilesBundle = Domain + "files-bundle"
	// AnnotationRefresh keeps the files of a running pod up to date: how often the sidecar looks for other values, as a Go duration, or [RefreshOff].
	AnnotationRefresh = Domain + "refresh"
	// AnnotationRefreshHTTP is what the sidecar calls after it has replaced files; see [ParseReloadURL].
	AnnotationRefreshHTTP = Domain + "refresh-http"
	// AnnotationRefreshSignal is what it sends to the containers whose files it has replaced: one of [Signals].
	AnnotationRefreshSignal = Domain + "refresh-signal"
	// AnnotationRefreshRestart, if "true", has the kubelet restart all containers of the pod in place.
	AnnotationRefreshRestart = Domain + "refresh-restart"
)

// ImageConfigLookup is the only value of [AnnotationImageConfig].
const ImageConfigLookup = "lookup"

// Values of [AnnotationOrder].
const (
	OrderFirst = "first"
	OrderLast  = "last"
	OrderAfter = "after:" // followed by the name of an init container
)

// AllContainers, as the value of [AnnotationContainers], means every container of spec.containers that no other injector is known to add. Init containers
// receive values only by name.
const AllContainers = "*"

// AnnotationStatus is written by the injector and tells what it decided and why. It is never trusted as input.
const AnnotationStatus = Domain + "status"

// AnnotationDefaultContainer is kubectl's own.
const AnnotationDefaultContainer = "kubectl.kubernetes.io/default-container"

// Names of what is injected. A pod that arrives with a container or volume of such a name which is not ours is refused.
const (
	ContainerInit   = "lanyard-init"
	ContainerVerify = "lanyard-verify"
	// ContainerSidecar fetches the values of containers whose files are refreshed, and goes on doing so: for them it takes the init agent's place.
	ContainerSidecar = "lanyard-sidecar"
	VolumeEnv        = "lanyard-env"
	VolumeToken      = "lanyard-token"
	VolumeBin        = "lanyard-bin" // holds the agent's binary, for the exec and direct deliveries
	// VolumeValuesPrefix begins the names of the volumes that hold one container's values, for the exec and file deliveries; see [ValuesVolume].
	VolumeValuesPrefix = "lanyard-values-"
)

// Paths within the init agent's container, and of the token within those of the direct delivery.
const (
	MountEnv   = "/run/lanyard/env"
	MountToken = "/run/lanyard/token"
	TokenPath  = "token" // within MountToken
)

// Paths within the init agent's container and the containers that receive values.
const (
	// MountBin is where [VolumeBin] is, everywhere.
	MountBin = "/run/lanyard/bin"
	// MountValues is where a wrapped container has its values volume; the init agent has those of all containers below it, each under the container's name.
	MountValues = "/run/lanyard/values"
	// MountFiles is where a container with the file delivery has its values volume, unless [AnnotationFilesPath] says otherwise.
	MountFiles = "/run/lanyard/files"
	// ExecFile is the path, within a values volume, of what the wrapping agent reads; see package execfile.
	ExecFile = "environ"
	// Binary is the agent's name within [MountBin].
	Binary = "lanyard-agent"
)

// What the agent's first argument makes of it in a wrapped container.
const (
	// ModeExec makes it run the command that follows "--" with the values that the init agent has written for its container.
	ModeExec = "exec"
	// ModeDirect makes it fetch the values of its container first.
	ModeDirect = "direct"
)

// Wrapper returns what stands in front of a wrapped container's own command.
func Wrapper(mode string) []string { return []string{MountBin + "/" + Binary, mode, "--"} }

// FileSuffix, after an ENV's name, makes the name of the ENV that holds the path of its file.
const FileSuffix = "_FILE"

// ValuesVolume is the name of the volume that holds the values of one container. Both names are DNS labels: what does not fit is told apart by a digest.
func ValuesVolume(container string) string {
	const maxLabel, digest = 63, 6
	if len(VolumeValuesPrefix)+len(container) < maxLabel { // a name of full length is always one with a digest
		return VolumeValuesPrefix + container
	}
	sum := sha256.Sum256([]byte(container))
	const kept = maxLabel - len(VolumeValuesPrefix) - len("-") - 2*digest
	return VolumeValuesPrefix + container[:kept] + "-" + hex.EncodeToString(sum[:digest])
}

// EnvFile is the path, within [VolumeEnv], of the env file of a container. Container names are DNS labels, so the path needs no escaping.
func EnvFile(container string) string { return container + ".env" }

// ProofFile is the path, within [VolumeEnv], of the env file that proves to the verifying container that the kubelet reads env files. No container can have
// a name that begins with an underscore.
const ProofFile = "_proof.env"

// Values of [EnvMode].
const (
	// ModeVerify makes the agent check [EnvProof] instead of fetching values.
	ModeVerify = "verify"
	// ModeSidecar makes it stay and refresh files.
	ModeSidecar = "sidecar"
)

// ENV variables that configure the init agent. They are not secret.
const (
	// EnvMode is empty for fetching values once, [ModeVerify] or [ModeSidecar].
	EnvMode = "LANYARD_MODE"
	// EnvProof is set from [ProofFile] by a kubelet that reads env files; a kubelet that does not leaves it empty, as it would every other ENV.
	EnvProof = "LANYARD_PROOF"
	// EnvURL is the https URL of the registry's workload listener, without a path.
	EnvURL = "LANYARD_URL"
	// EnvServerName is the name the registry's certificate is checked against; empty means the URL's host.
	EnvServerName = "LANYARD_SERVER_NAME"
	// EnvCA is the PEM bundle the registry's certificate is checked against. It is required: the system's roots are never used.
	EnvCA = "LANYARD_CA"
	// EnvRequest is the wire.ResolveRequest to send, as JSON.
	EnvRequest = "LANYARD_REQUEST"
	// EnvDeadline is how long the agent tries, as a Go duration; [DefaultDeadline] if empty.
	EnvDeadline = "LANYARD_DEADLINE"
	// EnvTokenFile is the path of the pod's token; MountToken/TokenPath if empty.
	EnvTokenFile = "LANYARD_TOKEN_FILE"
	// EnvDir is the directory env files are written to; MountEnv if empty.
	EnvDir = "LANYARD_ENV_DIR"
	// EnvBinDir is the directory the init agent copies itself to, for the exec delivery; MountBin if empty, and nowhere if it is [BinNowhere].
	EnvBinDir = "LANYARD_BIN_DIR"
	// EnvValuesDir is the directory of values volumes: in the init agent one for each container, in a wrapped container its own; MountValues if empty.
	EnvValuesDir = "LANYARD_VALUES_DIR"
	// EnvFilesMode and EnvFilesBundle are the values of the annotations of these names.
	EnvFilesMode   = "LANYARD_FILES_MODE"
	EnvFilesBundle = "LANYARD_FILES_BUNDLE"
	// EnvTerminationLog is the path of the termination message; /dev/termination-log if empty.
	EnvTerminationLog = "LANYARD_TERMINATION_LOG"
	// EnvRefresh is how often the sidecar asks for other values, as a Go duration.
	EnvRefresh = "LANYARD_REFRESH"
	// EnvRefreshHTTP, EnvRefreshSignal and EnvRefreshRestart are what it does when there were others: the values of the annotations of these names.
	EnvRefreshHTTP    = "LANYARD_REFRESH_HTTP"
	EnvRefreshSignal  = "LANYARD_REFRESH_SIGNAL"
	EnvRefreshRestart = "LANYARD_REFRESH_RESTART"
)

// BinNowhere, as the value of [EnvBinDir], tells the init agent that wrapped containers find the binary in an image volume.
const BinNowhere = "none"

// Audience is the default audience of the projected tokens.
const Audience = "lanyard"

// Lifetimes.
const (
	// TokenLifetime is the life of the projected token. The agent uses it once, within its deadline; the kubelet renews tokens of running pods at 80 % of
	// their life even when nobody reads them, so an hour costs the API server a sixth of what the ten-minute minimum would.
	TokenLifetime = time.Hour
	// DefaultDeadline is how long the agent tries before it fails the pod and lets the kubelet back off.
	DefaultDeadline = 2 * time.Minute
	// MaxDeadline keeps a stuck pod visible: a pod that is still waiting after ten minutes should say so by failing.
	MaxDeadline = 10 * time.Minute
)
