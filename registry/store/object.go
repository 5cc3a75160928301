// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// Meta is what every stored object has. The store fills it; callers only read it.
type Meta struct {
	ID        string    `json:"id"` // UUIDv7, immutable, unique in the installation
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	CreatedBy string    `json:"created_by"` // Act.Actor
	UpdatedBy string    `json:"updated_by"`
	// Revision is the etcd mod revision of the object's key, the source of its ETag. It is not part of the record.
	Revision int64 `json:"-"`
}

// Organization owns everything else.
type Organization struct {
	Meta
	Slug        string `json:"slug"` // see ref.CheckSlug; unique in the installation
	DisplayName string `json:"display_name,omitempty"`
	Quota       Quota  `json:"quota,omitzero"`
}

// Storage says where the value of a secret is kept.
type Storage string

// The two storage modes.
const (
	StorageLocal  Storage = "local"  // encrypted, in numbered versions
	StorageRemote Storage = "remote" // a reference into a provider; the value is never stored
)

// Secret is the metadata of a secret. No value is reachable from it.
type Secret struct {
	Meta
	OrgID       string            `json:"org_id"`
	Name        string            `json:"name"` // see ref.CheckName; unique in the organization, also among soft-deleted ones
	Description string            `json:"description,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Storage     Storage           `json:"storage"`
	// ActiveVersion is the version that resolves; 0 when there is none (a remote secret, or every version staged or destroyed).
	ActiveVersion uint64 `json:"active_version,omitempty"`
	// LastVersion is the highest number ever given; numbers of destroyed versions stay claimed.
	LastVersion uint64  `json:"last_version,omitempty"`
	Remote      *Remote `json:"remote,omitempty"` // with StorageRemote only
	// Grants say whose pods may refer to the secret inline, without a consumer. None means nobody's.
	Grants    []Binding  `json:"grants,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	DeletedAt *time.Time `json:"deleted_at,omitempty"` // soft-deleted: does not resolve, can be undeleted
}

// Remote is a reference into a secret provider.
type Remote struct {
	ProviderID string `json:"provider_id"` // callers may give the name; the id is stored
	Path       string `json:"path"`
	Key        string `json:"key,omitempty"`
	Version    string `json:"version,omitempty"` // pinned at the provider; empty means the newest
}

// Version is the metadata of one immutable value of a local secret.
type Version struct {
	Number    uint64    `json:"number"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
	// NoEnvfile tells why the envfile delivery cannot carry the value (a rule of package envfile, nothing of the value); empty if it can.
	NoEnvfile string `json:"no_envfile,omitempty"`
	// NoExec tells the same of the exec delivery (a rule of package execfile).
	NoExec      string     `json:"no_exec,omitempty"`
	DestroyedAt *time.Time `json:"destroyed_at,omitempty"` // its envelope, and with it the only copy of its key, is gone
}

// Provider is a system that keeps the values of remote secrets. Its credentials are not part of it: only [View.OpenCredentials] returns them.
type Provider struct {
	Meta
	OrgID string `json:"org_id"`
	Name  string `json:"name"` // see ref.CheckName; unique in the organization
	Type  string `json:"type"` // "vault"; [ProviderRules] knows which there are
	// Config is the type's own configuration, a JSON object in canonical form: members of the organization may see it.
	Config json.RawMessage `json:"config"`
	// AllowedPrefixes bound what secrets may refer to; none means everything the credentials can read.
	AllowedPrefixes []string `json:"allowed_prefixes,omitempty"`
	// LastKnownGood, if not nil, lets a pod start with a value that was read before, when the provider does not answer.
	LastKnownGood *LastKnownGood `json:"last_known_good,omitempty"`
	// HasCredentials says that there are any. CredentialsVersion is raised whenever they change, and sealed into them.
	HasCredentials     bool   `json:"has_credentials,omitempty"`
	CredentialsVersion uint64 `json:"credentials_version,omitempty"`
}

// LastKnownGood says how old such a value may be.
type LastKnownGood struct {
	MaximumAge time.Duration `json:"maximum_age"`
}

// NewProvider is what a provider is created from. Credentials, a JSON object, may be nil.
type NewProvider struct {
	Name            string
	Type            string
	Config          json.RawMessage
	AllowedPrefixes []string
	LastKnownGood   *LastKnownGood
	Credentials     *redact.Value
}

// NewSecret is what a secret is created from. Value is used with StorageLocal and makes version 1; the zero Value creates a secret without a version.
type NewSecret struct {
	Name        string
	Description string
	Labels      map[string]string
	Storage     Storage
	Value       *redact.Value
	Remote      *Remote
	Grants      []Binding
	ExpiresAt   *time.Time
}

// ConsumerKind says what kind of workload a consumer stands for.
type ConsumerKind string

// The kinds of consumers.
const (
	ConsumerService   ConsumerKind = "service"
	ConsumerAgent     ConsumerKind = "agent"
	ConsumerMCPServer ConsumerKind = "mcp_server"
	ConsumerHook      ConsumerKind = "hook"
)

// Consumer is what references secrets, and the bindings that say which pods may claim it.
type Consumer struct {
	Meta
	OrgID       string            `json:"org_id"`
	Name        string            `json:"name"` // see ref.CheckName; unique in the organization
	Kind        ConsumerKind      `json:"kind"`
	Description string            `json:"description,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Envs        []Env             `json:"envs,omitempty"`
	Bindings    []Binding         `json:"bindings,omitempty"`
	// Deliveries are the ways in which pods may receive the ENVs; none means all.
	Deliveries []wire.Delivery `json:"deliveries,omitempty"`
}

// Env is one environment variable of a consumer: exactly one of Value and SecretID is set.
type Env struct {
	Name     string  `json:"name"`                // see ref.CheckEnvName; unique in the consumer
	Value    *string `json:"value,omitempty"`     // plain, not secret
	SecretID string  `json:"secret_id,omitempty"` // a secret of the same organization
	Version  uint64  `json:"version,omitempty"`   // pinned; 0 means the active one
}

// Binding lets the pods of one service account claim a consumer or, as a grant, refer to a secret. All three match exactly.
type Binding struct {
	Cluster        string `json:"cluster"`
	Namespace      string `json:"namespace"`
	ServiceAccount string `json:"service_account"`
}

// Reference says that something uses a secret or a provider. Readable by people: names, no ids alone.
type Reference struct {
	Kind  string `json:"kind"` // "consumer", "secret", "workload"
	ID    string `json:"id"`
	Name  string `json:"name"`  // "<namespace>/<pod>" of a workload
	Field string `json:"field"` // "env STRIPE_API_KEY", "container app env STRIPE_API_KEY"
}

// Act says who changes something and in which request, for the audit event of the change.
type Act struct {
	Actor     string // "<type>:<id>", e.g. "token:bootstrap"
	RequestID string
	SourceIP  string
	Once      *Once // makes the mutation happen at most once; nil for one that may be repeated. Not every mutation takes it.
}

// Query selects a page of a list.
type Query struct {
	// After is the Next of the page before; empty for the first one.
	After string
	Limit int // 1 to MaxPage; 0 means DefaultPage
	// Search keeps objects whose name contains it, without regard to case.
	Search string
	Labels map[string]string // all must be equal
	// Storage, ProviderID (an id or a name) and Deleted apply to secrets.
	Storage    Storage
	ProviderID string
	// Unused keeps secrets that no consumer refers to and no running pod has; Sort is the order of the list, by name if empty.
	Unused bool
	Sort   Sort
	// ExpiringBefore keeps secrets that expire before this time; the zero time keeps all.
	ExpiringBefore time.Time
	Deleted        bool // list soft-deleted ones instead of live ones
	// Organization and Member apply to organizations: they keep the one with this id, and those this principal is a member of.
	Organization string
	Member       string
}

// Page sizes.
const (
	DefaultPage = 50
	MaxPage     = 200
)

// Page is a part of a list, ordered by name.
type Page[T any] struct {
	Items []T
	Next  string // opaque; empty on the last page
}

// Limits of one installation's objects, checked before anything is written. They keep each record far below etcd's request limit of 1.5 MiB.
const (
	MaxDescription   = 1024
	MaxLabels        = 32
	MaxLabelKey      = 63
	MaxLabelValue    = 255
	MaxBindings      = 256
	MaxGrants        = 256 // of one secret
	MaxPlainValue    = 64 << 10
	MaxPrefixes      = 256
	MaxPrefix        = 1024
	MaxProviderType  = 63
	MaxConfigBytes   = 384 << 10 // a provider's configuration in canonical JSON; a bundle of certificates has up to 256 KiB
	MaxCredentials   = 64 << 10
	MaxConsumerBytes = 1 << 20 // of all plain values of one consumer together, encoded as JSON
)
