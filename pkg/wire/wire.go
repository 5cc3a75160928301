// SPDX-License-Identifier: Apache-2.0

// Package wire is the protocol between the secret registry and what runs in the cluster: the init agent, which resolves values, and the injector, which
// follows the names of consumers. It is served on the registry's workload listener only; nothing else returns a plaintext value.
//
// # Resolve
//
//	POST /v1/resolve
//	Authorization: Bearer <projected service account token, audience as configured>
//	Content-Type: application/json
//
// One request asks for everything one pod needs ([ResolveRequest]); the answer ([ResolveResponse]) holds all of it or the request fails as a whole with a
// [Problem]. Nothing about the caller is taken from the body: the registry learns namespace, service account, pod and node from the token alone.
//
// # Refresh
//
// The answer carries a mark ([ResolveResponse.Mark]), which stands for the values in it. A request that sends it back ([ResolveRequest.Mark]) wants values only if they differ
// now: everything is checked as if they were to be released, and if none differs the answer says unchanged and holds none. A registry that knows no marks
// ignores them and always answers with values, so a client compares what it gets with what it has. Any mark also says that there are values already, which what a registry kept
// of a provider that is silent must not replace; a client that has some, but not their mark, sends [UnknownMark].
//
// # Providers' tokens
//
// Some providers are read with the pod's own identity. The request of a pod that needs them carries, beside the names, tokens of the pod's service account for these providers'
// audiences ([ResolveRequest.ProviderTokens]); use [AppendRequest] to send them. The registry forwards them only after the API server has said that they are of the pod that
// asks, to the provider whose record demands their audience, and keeps none.
//
// # Names
//
//	GET /v1/names
//	Authorization: Bearer <the injector's own service account token, same audience>
//
// The answer is an endless stream of [NamesEvent] lines (NDJSON): every consumer and every secret with a grant in this cluster as put events, then synced, then
// changes as they happen and a ping at least every [NamesPingInterval]. It never carries a value.
//
// # Compatibility
//
// A registry answers agents and injectors of the two minor releases before it. Unknown fields are ignored on both sides; a field is never given another
// meaning. What must not be ignored raises [Protocol].
package wire

import "time"

// Paths of the workload listener.
const (
	ResolvePath = "/v1/resolve"
	NamesPath   = "/v1/names"
)

// Versions of the resolve request. The registry and the agent refuse others, the registry with [CodeInvalid].
const (
	// ProtocolConsumers is what a request says whose containers all have a consumer and nothing else.
	ProtocolConsumers = 1
	// ProtocolInline is what a request says in which a container refers to secrets directly: who does not know that must not send a part of the values.
	ProtocolInline = 2
	// Protocol is the newest version. Requests are of the oldest that says all they have to.
	Protocol = ProtocolInline
)

// Limits, enforced by the registry before it does any work and by the agent when it reads the answer.
const (
	// MaxNamesBytes bounds a resolve request as it stands in a pod: 64 containers of 256 names of 128 bytes would not fit a pod spec either; real ones are under 4 KiB.
	MaxNamesBytes = 64 << 10
	// MaxRequestBytes bounds a resolve request's body, which may hold tokens besides.
	MaxRequestBytes = MaxNamesBytes + MaxProviderTokens*(MaxTokenBytes+256)
	// MaxProviderTokens is how many tokens for providers a pod may send along: one for each audience.
	MaxProviderTokens = 4
	// MaxTokenBytes bounds a bearer token. Kubernetes' own are about 1.2 KiB.
	MaxTokenBytes = 8 << 10
	// MaxResponseBytes bounds the answer: what 256 values of 64 KiB take in base64, which is the most one pod may hold.
	MaxResponseBytes = 256*(MaxValueBytes/3+1)*4 + 1<<20
	// MaxValueBytes is the size of the largest value of a secret or an ENV.
	MaxValueBytes = 64 << 10
	// MaxContainers is how many containers of a pod may receive values.
	MaxContainers = 64
	// MaxEnvs is how many ENVs one consumer may have, and how many one pod may receive.
	MaxEnvs = 256
	// MaxMarkBytes bounds a mark, which is that of 32 bytes in base64.
	MaxMarkBytes = 64
	// NamesPingInterval is the longest silence on a healthy names stream; a client that hears nothing for three of them reconnects.
	NamesPingInterval = 10 * time.Second
)

// UnknownMark is the mark of no answer. A request with it comes from a pod that has values, though it does not know which: it wants values in any case, but none that are not fresh.
const UnknownMark = "unknown"

// A Delivery is the way values reach a container.
type Delivery string

// The deliveries. What each one does and costs is told in docs/delivery.md.
const (
	DeliveryAuto    Delivery = "auto" // chosen at admission; never sent to the registry
	DeliveryEnvfile Delivery = "envfile"
	DeliveryExec    Delivery = "exec"
	DeliveryDirect  Delivery = "direct" // asked for by the container itself, which is then the only one of the request
	DeliveryFile    Delivery = "file"
)

// Deliveries are those that a request may name and a policy may allow.
var Deliveries = []Delivery{DeliveryEnvfile, DeliveryExec, DeliveryDirect, DeliveryFile}

// ResolveRequest asks for the ENV values of one pod.
type ResolveRequest struct {
	Protocol   int                `json:"protocol"`
	Containers []ContainerRequest `json:"containers"`
	// Mark is that of an earlier answer to the same request: the answer holds values only if they would differ from that one's. Empty wants values in any case.
	Mark string `json:"mark,omitempty"`
	// Starting says that none of the containers runs, or holds values of an earlier answer: what was made for them before may be taken back. It is the agent's to say, and it says so only where it is
	// certain. A request with a mark never is.
	Starting bool `json:"starting,omitempty"`
	// ProviderTokens are for providers that are read with the pod's own identity. The injector names their audiences, the agent adds the tokens.
	ProviderTokens []ProviderToken `json:"provider_tokens,omitempty"`
}

// ContainerRequest asks for the ENVs of one container.
type ContainerRequest struct {
	Name     string   `json:"name"`     // the container's name in the pod
	Consumer string   `json:"consumer"` // <organization>/<consumer>; may be empty with Inline, and is without Envs then
	Delivery Delivery `json:"delivery"`
	// Envs are the names the pod spec refers to, fixed at admission. A name the consumer has lost since fails the request; a name it gained is not sent.
	Envs []string `json:"envs"`
	// Inline are ENVs that refer to secrets directly. It needs [ProtocolInline].
	Inline []InlineEnv `json:"inline,omitempty"`
}

// InlineEnv is an ENV that refers to a secret without a consumer. A grant on the secret has to let the pod do that.
type InlineEnv struct {
	Name   string `json:"name"`
	Secret string `json:"secret"` // as ref.ParseSecret reads it
}

// Names returns the names of all ENVs the container asks for, in the order of the answer: of its consumer, then inline ones.
func (c *ContainerRequest) Names() []string {
	if len(c.Inline) == 0 {
		return c.Envs
	}
	names := make([]string, 0, len(c.Envs)+len(c.Inline))
	names = append(names, c.Envs...)
	for _, env := range c.Inline {
		names = append(names, env.Name)
	}
	return names
}

// ResolveResponse holds the values of every container asked for. It exists only complete; use [AppendResponse] and [DecodeResponse] to move it.
type ResolveResponse struct {
	RequestID string
	// Mark stands for the values of this answer, to this pod alone. It is opaque and tells nothing of them; empty if there is nothing to compare with later.
	Mark string
	// Unchanged tells that the values are those of the mark that was sent. Only a request with a mark is answered so, and then there are no Containers.
	Unchanged  bool
	Containers []ContainerValues
}

// ContainerValues are the ENVs of one container, in the order they were asked for.
type ContainerValues struct {
	Name string
	Envs []Env
}

// Problem is the body of every answer that is not 200, on both paths. It never contains a value, a token or a length of either.
type Problem struct {
	Code      Code          `json:"code"`
	Message   string        `json:"message"`
	RequestID string        `json:"request_id,omitempty"`
	Items     []ItemProblem `json:"items,omitempty"`
}

// ItemProblem tells which ENV of which container could not be resolved.
type ItemProblem struct {
	Container string `json:"container"`
	Env       string `json:"env"`
	Secret    string `json:"secret,omitempty"`
	Provider  string `json:"provider,omitempty"`
	Code      Code   `json:"code"`
	Message   string `json:"message"`
}

// NamesEvent is one line of the names stream.
type NamesEvent struct {
	Type     NamesEventType `json:"type"`
	Consumer *ConsumerNames `json:"consumer,omitempty"` // with put; with delete only Ref is set
	Secret   *SecretNames   `json:"secret,omitempty"`   // with put_secret; with delete_secret only Ref is set
}

// NamesEventType says what a [NamesEvent] means.
type NamesEventType string

// The events of the names stream.
const (
	NamesPut    NamesEventType = "put"    // the consumer is as told, replacing what was known of it
	NamesDelete NamesEventType = "delete" // the consumer is gone
	// The same of a secret that pods of this cluster may refer to inline. Injectors that know no inline references ignore both.
	NamesPutSecret    NamesEventType = "put_secret"
	NamesDeleteSecret NamesEventType = "delete_secret"
	NamesSynced       NamesEventType = "synced" // everything that existed when the stream began has been sent
	NamesPing         NamesEventType = "ping"
)

// ConsumerNames is what admission needs to know about a consumer: names and who may claim it, never a value.
type ConsumerNames struct {
	Ref      string    `json:"ref"` // <organization>/<consumer>
	Envs     []EnvName `json:"envs"`
	Bindings []Binding `json:"bindings"` // of this cluster only
	// Deliveries are those the consumer allows; empty means all.
	Deliveries []Delivery `json:"deliveries,omitempty"`
	// ProviderAudiences are those of the providers' tokens that the pods need to send along, sorted.
	ProviderAudiences []string `json:"provider_audiences,omitempty"`
}

// EnvName is one ENV of a consumer.
type EnvName struct {
	Name string `json:"name"`
	// NoEnvfile is set when the current value is known not to survive the envfile delivery (see package envfile); it says which rule, not the value.
	NoEnvfile string `json:"no_envfile,omitempty"`
	// NoExec is the same for the exec delivery (see package execfile). The file delivery carries everything.
	NoExec string `json:"no_exec,omitempty"`
}

// SecretNames is what admission needs to know about a secret that pods may refer to inline.
type SecretNames struct {
	Ref    string    `json:"ref"`    // <organization>/<secret>
	Grants []Binding `json:"grants"` // of this cluster only
	// NoEnvfile and NoExec say of the active version what those of [EnvName] say. Of pinned versions nothing is told.
	NoEnvfile string `json:"no_envfile,omitempty"`
	NoExec    string `json:"no_exec,omitempty"`
	// ProviderAudience is that of the provider's token that the pods need to send along; empty if they need none.
	ProviderAudience string `json:"provider_audience,omitempty"`
}

// Binding allows the pods of one service account to claim a consumer or, as a grant, to refer to a secret.
type Binding struct {
	Namespace      string `json:"namespace"`
	ServiceAccount string `json:"service_account"`
}
