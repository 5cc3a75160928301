// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
)

// Pod is the part of a pod that admission reads. Everything else stays in the object the API server holds and is never decoded, so that a field younger
// than this code can neither be lost nor misread: changes leave as a JSON Patch. Decode it with encoding/json.
type Pod struct {
	Metadata Metadata `json:"metadata"`
	Spec     Spec     `json:"spec"`
}

// Metadata is the part of a pod's metadata that admission reads.
type Metadata struct {
	Name         string            `json:"name"`
	GenerateName string            `json:"generateName"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	// OwnerReferences play no part in what is decided; they say who is told of it.
	OwnerReferences []OwnerReference `json:"ownerReferences"`
}

// OwnerReference names an object that the pod belongs to.
type OwnerReference struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	UID        string `json:"uid"`
	Controller bool   `json:"controller"`
}

// Spec is the part of a pod's spec that admission reads.
type Spec struct {
	InitContainers        []container       `json:"initContainers"`
	Containers            []container       `json:"containers"`
	EphemeralContainers   []container       `json:"ephemeralContainers"`
	Volumes               []volume          `json:"volumes"`
	ServiceAccountName    string            `json:"serviceAccountName"`
	NodeSelector          map[string]string `json:"nodeSelector"`
	Affinity              affinity          `json:"affinity"`
	ImagePullSecrets      []pullSecret      `json:"imagePullSecrets"`
	HostNetwork           bool              `json:"hostNetwork"`
	HostPID               bool              `json:"hostPID"`
	ShareProcessNamespace bool              `json:"shareProcessNamespace"`
	DNSPolicy             string            `json:"dnsPolicy"`
	Resources             *resources        `json:"resources"`
	SecurityContext       *securityContext  `json:"securityContext"`
	OS                    struct {
		Name string `json:"name"`
	} `json:"os"`
}

// ParsePod decodes a pod from JSON.
func ParsePod(raw []byte) (*Pod, error) {
	var pod Pod
	if err := json.Unmarshal(raw, &pod); err != nil {
		return nil, fmt.Errorf("decoding pod: %w", err)
	}
	return &pod, nil
}

type pullSecret struct {
	Name string `json:"name"`
}

// affinity is what of it must hold when the pod is scheduled, and concerns labels of nodes.
type affinity struct {
	NodeAffinity struct {
		Required struct {
			Terms []nodeTerm `json:"nodeSelectorTerms"` // one of them must hold
		} `json:"requiredDuringSchedulingIgnoredDuringExecution"`
	} `json:"nodeAffinity"`
}

// nodeTerm holds if all its expressions do.
type nodeTerm struct {
	Expressions []struct {
		Key      string   `json:"key"`
		Operator string   `json:"operator"`
		Values   []string `json:"values"`
	} `json:"matchExpressions"`
}

// container is read from pods and written for our own.
type container struct {
	Name                     string           `json:"name"`
	Image                    string           `json:"image,omitempty"`
	ImagePullPolicy          string           `json:"imagePullPolicy,omitempty"`
	Env                      []envVar         `json:"env,omitempty"`
	VolumeMounts             []volumeMount    `json:"volumeMounts,omitempty"`
	Resources                *resources       `json:"resources,omitempty"`
	SecurityContext          *securityContext `json:"securityContext,omitempty"`
	TerminationMessagePath   string           `json:"terminationMessagePath,omitempty"`
	TerminationMessagePolicy string           `json:"terminationMessagePolicy,omitempty"`

	// What only the sidecar of ours has.
	RestartPolicy      string        `json:"restartPolicy,omitempty"`
	RestartPolicyRules []restartRule `json:"restartPolicyRules,omitempty"`
	StartupProbe       *probe        `json:"startupProbe,omitempty"`

	// What ours does not have.
	Command        []string        `json:"command,omitempty"`
	Args           []string        `json:"args,omitempty"`
	Ports          []containerPort `json:"ports,omitempty"`
	EnvFrom        present         `json:"envFrom,omitempty"`
	Lifecycle      present         `json:"lifecycle,omitempty"`
	LivenessProbe  present         `json:"livenessProbe,omitempty"`
	ReadinessProbe present         `json:"readinessProbe,omitempty"`
}

type containerPort struct {
	ContainerPort int `json:"containerPort"`
}

type restartRule struct {
	Action    string     `json:"action"`
	ExitCodes *exitCodes `json:"exitCodes,omitempty"`
}

type exitCodes struct {
	Operator string  `json:"operator"`
	Values   []int32 `json:"values"`
}

func (r restartRule) is(w restartRule) bool {
	return r.Action == w.Action && r.ExitCodes != nil && r.ExitCodes.Operator == w.ExitCodes.Operator && slices.Equal(r.ExitCodes.Values, w.ExitCodes.Values)
}

// probe is one by a command. Of others only their times are read.
type probe struct {
	Exec             *execAction `json:"exec,omitempty"`
	PeriodSeconds    int32       `json:"periodSeconds,omitempty"`
	TimeoutSeconds   int32       `json:"timeoutSeconds,omitempty"`
	FailureThreshold int32       `json:"failureThreshold,omitempty"`
}

type execAction struct {
	Command []string `json:"command,omitempty"`
}

func (p *probe) is(w *probe) bool {
	if p == nil || w == nil {
		return p == w
	}
	return p.Exec != nil && slices.Equal(p.Exec.Command, w.Exec.Command) && p.PeriodSeconds == w.PeriodSeconds && p.TimeoutSeconds == w.TimeoutSeconds && p.FailureThreshold == w.FailureThreshold
}

type envVar struct {
	Name      string     `json:"name"`
	Value     string     `json:"value,omitempty"`
	ValueFrom *envSource `json:"valueFrom,omitempty"`
}

type envSource struct {
	FileKeyRef *fileKeyRef `json:"fileKeyRef,omitempty"`
}

type fileKeyRef struct {
	VolumeName string `json:"volumeName"`
	Path       string `json:"path"`
	Key        string `json:"key"`
	Optional   bool   `json:"optional,omitempty"`
}

type volumeMount struct {
	Name        string `json:"name"`
	ReadOnly    bool   `json:"readOnly,omitempty"`
	MountPath   string `json:"mountPath"`
	SubPath     string `json:"subPath,omitempty"`
	SubPathExpr string `json:"subPathExpr,omitempty"`
}

type quantities map[string]resource.Quantity

type resources struct {
	Limits   quantities `json:"limits,omitempty"`
	Requests quantities `json:"requests,omitempty"`
}

// securityContext is that of a pod or of a container; each has some of the fields.
type securityContext struct {
	RunAsUser                *int64          `json:"runAsUser,omitempty"`
	RunAsGroup               *int64          `json:"runAsGroup,omitempty"`
	FSGroup                  *int64          `json:"fsGroup,omitempty"`
	RunAsNonRoot             *bool           `json:"runAsNonRoot,omitempty"`
	Privileged               *bool           `json:"privileged,omitempty"`
	AllowPrivilegeEscalation *bool           `json:"allowPrivilegeEscalation,omitempty"`
	ReadOnlyRootFilesystem   *bool           `json:"readOnlyRootFilesystem,omitempty"`
	Capabilities             *capabilities   `json:"capabilities,omitempty"`
	SeccompProfile           *seccompProfile `json:"seccompProfile,omitempty"`
}

type capabilities struct {
	Add  []string `json:"add,omitempty"`
	Drop []string `json:"drop,omitempty"`
}

type seccompProfile struct {
	Type string `json:"type"`
}

type volume struct {
	Name      string       `json:"name"`
	EmptyDir  *emptyDir    `json:"emptyDir,omitempty"`
	Projected *projected   `json:"projected,omitempty"`
	Image     *imageSource `json:"image,omitempty"`
}

type imageSource struct {
	Reference  string `json:"reference,omitempty"`
	PullPolicy string `json:"pullPolicy,omitempty"`
}

type emptyDir struct {
	Medium    string             `json:"medium,omitempty"`
	SizeLimit *resource.Quantity `json:"sizeLimit,omitempty"`
}

type projected struct {
	Sources     []projection `json:"sources"`
	DefaultMode *int32       `json:"defaultMode,omitempty"`
}

// projection is a source that is a token, or one we have no name for.
type projection struct {
	ServiceAccountToken *tokenProjection `json:"serviceAccountToken,omitempty"`
}

type tokenProjection struct {
	Audience          string `json:"audience"`
	ExpirationSeconds int64  `json:"expirationSeconds"`
	Path              string `json:"path"`
}

// present decodes into whether a field has any content, without keeping it.
type present bool

func (p *present) UnmarshalJSON(text []byte) error {
	switch string(text) {
	case "null", "[]", "{}", `""`:
		*p = false
	default:
		*p = true
	}
	return nil
}

// lists of containers, as field paths name them.
const (
	listInit       = "initContainers"
	listContainers = "containers"
	listEphemeral  = "ephemeralContainers"
)

// each calls visit for every container but ours.
func (s *Spec) each(visit func(list string, index int, c *container)) {
	for i := range s.InitContainers {
		if !slices.Contains(ownNames, s.InitContainers[i].Name) {
			visit(listInit, i, &s.InitContainers[i])
		}
	}
	for i := range s.Containers {
		visit(listContainers, i, &s.Containers[i])
	}
	for i := range s.EphemeralContainers {
		visit(listEphemeral, i, &s.EphemeralContainers[i])
	}
}

// ownNames are the names of our init containers, in their order.
var ownNames = []string{podspec.ContainerInit, podspec.ContainerVerify, podspec.ContainerSidecar}

// ours returns the index of our init container so named, or -1.
func (s *Spec) ours(name string) int {
	return slices.IndexFunc(s.InitContainers, func(c container) bool { return c.Name == name })
}

func (s *Spec) serviceAccount() string {
	if s.ServiceAccountName == "" {
		return "default"
	}
	return s.ServiceAccountName
}
