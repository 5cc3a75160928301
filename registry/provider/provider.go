// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/pkg/redact"
)

// A Provider reads secrets from one server. It must be safe for concurrent use.
type Provider interface {
	// Read reads the secret at ref as it is at the server now: it must not answer from a cache. It asks at most once for the secret itself (logging in and retrying with a
	// new token aside) and returns soon after ctx ends. Its error is an [*Error] that holds nothing of the answer's body.
	Read(ctx context.Context, ref Ref) (Document, error)
	// Check reports whether the server can be reached and accepts the credentials. It reads no secret. Its error is as that of Read.
	Check(ctx context.Context) error
	// Close forgets the tokens, revokes at the server those it can revoke within a second or so, and ends what runs in the background. Reads that are on the way fail.
	Close() error
}

// Ref names a secret at a server.
type Ref struct {
	Path    string // as the Path function of the type returned it
	Version string // empty means the newest
}

// Record is a provider as the registry keeps it.
type Record struct {
	ID   string
	Name string
	Type string
	// Config is the type's own configuration. It may be shown to members of the organization.
	Config json.RawMessage
	// Credentials is a JSON object, or empty. It is encrypted at rest and never shown.
	Credentials redact.Value
	// AllowedPrefixes bound what secrets of the organization may refer to; none means everything the credentials can read. See [Allowed].
	AllowedPrefixes []string
	// LastKnownGood is how long what is read may be kept for when the server does not answer; 0 means not at all. It is handed on in [Fetched].
	LastKnownGood time.Duration
	// Revision changes with every change of the record.
	Revision int64
}

// Type is a kind of provider.
type Type struct {
	// Name is what records refer to: "vault".
	Name string
	// Validate reports the first rule that the record breaks, as an [*Error] of KindInvalid whose message names the field and the fix. It does no I/O.
	Validate func(Record, Host) error
	// Path brings the path and version of a secret to the type's canonical form, or reports why they can never be read. It does no I/O.
	Path func(path, version string) (Ref, error)
	// Allows reports whether a path that Path returned can be within prefixes, as far as it can be told without asking the server; nil means [Allowed].
	Allows func(path string, prefixes []string) bool
	// Audience returns the audience of the pods' own tokens that a record with this configuration is read with; empty if it is read with an identity of its own. Nil means the latter
	// for all. It does no I/O and takes any bytes.
	Audience func(config json.RawMessage) string
	// Open returns a provider for a record that Validate accepts. It does no I/O either: the first read connects. The provider enforces Record.AllowedPrefixes.
	Open func(Record, Host) (Provider, error)
}

// Host is what the installation lends to its providers.
type Host struct {
	// Egress guards the connections. It must not be nil.
	Egress *egress.Guard
	// ServiceAccountToken returns a token of the registry's own service account for an audience, for providers that authenticate it. Nil means that none of them may.
	//
	// Whoever receives this token can act as the registry wherever that audience is accepted. It must never be a token for the API server.
	ServiceAccountToken func(ctx context.Context, audience string) (redact.Value, error)
	// PodAudiences are the audiences of pods' own tokens that a provider may demand.
	PodAudiences []string
	// TrustedAddresses are the addresses of servers that may be shown such a token, the registry's or a pod's, in the form [egress.Guard.ParseAddress] returns.
	TrustedAddresses []string
	// Cluster is the registry's own cluster, whose Secrets may be read with the registry's own service account. Nil means that none may.
	Cluster *Cluster
	Log     *slog.Logger // nil discards
}

// Cluster is the cluster the registry runs in.
type Cluster struct {
	// Address of its API server, in the form [egress.Guard.ParseAddress] returns.
	Address string
	// Directory holds token, ca.crt and namespace of the registry's service account, as the kubelet mounts them.
	Directory string
	// Namespaces are those that Secrets may be read from, by the providers of every organization. The registry's own is never among them: its keys are there.
	Namespaces []string
}

// Limits of every provider.
const (
	// MaxAnswer bounds an answer's body. Vault itself refuses entries above 1 MiB by default, and a value may have 64 KiB.
	MaxAnswer = 1 << 20
	// DefaultTimeout bounds one fetch, waiting included; a read may take four fifths of it. The init agent's own patience for one attempt is longer.
	DefaultTimeout = 5 * time.Second
	// DefaultConcurrency bounds the reads of one provider that are on the way at one time.
	DefaultConcurrency = 32
	// DefaultQueue bounds how long a read waits for its turn under that bound.
	DefaultQueue = time.Second
)
