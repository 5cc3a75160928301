// SPDX-License-Identifier: Apache-2.0

// Package audit records who did what to which secret, before it happens.
//
// An [Event] says that an act was authorized or denied, not that it succeeded. It is an explicit list of fields: names, ids, versions and reason codes,
// never a value, a token, or a length of either.
package audit

import "time"

// Event is one audit record.
type Event struct {
	ID        string    `json:"id"` // UUIDv7
	Time      time.Time `json:"time"`
	RequestID string    `json:"request_id,omitempty"`
	Actor     string    `json:"actor"` // "<type>:<id>", e.g. "token:bootstrap", "serviceaccount:billing/api"
	SourceIP  string    `json:"source_ip,omitempty"`
	OrgID     string    `json:"org_id,omitempty"`
	Action    Action    `json:"action"`
	Outcome   Outcome   `json:"outcome"`
	Reason    string    `json:"reason,omitempty"` // a code from a closed set
	// What was acted on.
	ResourceKind string `json:"resource_kind,omitempty"`
	ResourceID   string `json:"resource_id,omitempty"`
	ResourceName string `json:"resource_name,omitempty"`
	Version      uint64 `json:"version,omitempty"`
	// Changed are the names of the fields a mutation changed.
	Changed []string `json:"changed,omitempty"`
	// Workload is set for resolves.
	Workload *Workload `json:"workload,omitempty"`
}

// Workload is the pod that asked for values, as its token says.
type Workload struct {
	Cluster        string  `json:"cluster"`
	Namespace      string  `json:"namespace"`
	ServiceAccount string  `json:"service_account"`
	Pod            string  `json:"pod"`
	PodUID         string  `json:"pod_uid"`
	Node           string  `json:"node,omitempty"`
	TokenID        string  `json:"token_id,omitempty"` // the token's jti, to join with the cluster's own audit log
	Released       []Grant `json:"released,omitempty"`
}

// Grant is one value that was released, by name.
type Grant struct {
	Container string `json:"container"`
	Consumer  string `json:"consumer,omitempty"` // <organization>/<consumer>; empty if the pod referred to the secret inline
	// ConsumerID tells consumers apart that had the same name one after the other.
	ConsumerID string `json:"consumer_id,omitempty"`
	Env        string `json:"env"`
	Secret     string `json:"secret,omitempty"`
	SecretID   string `json:"secret_id,omitempty"`
	Version    uint64 `json:"version,omitempty"`
	Pinned     bool   `json:"pinned,omitempty"` // an inline reference named the version
	Leased     bool   `json:"leased,omitempty"` // the provider made the value for this pod alone
	// LastKnownGood says that the provider did not answer, and that the value is the one it gave at FetchedAt.
	LastKnownGood bool      `json:"last_known_good,omitempty"`
	FetchedAt     time.Time `json:"fetched_at,omitzero"`
}

// Action is what was done.
type Action string

// Outcome is how an act was decided.
type Outcome string

// The outcomes.
const (
	Allowed Outcome = "allowed"
	Denied  Outcome = "denied"
)

// The actions. Mutations are recorded in the transaction that makes them.
const (
	OrganizationCreate Action = "organization.create"
	OrganizationUpdate Action = "organization.update"
	OrganizationDelete Action = "organization.delete"
	OrganizationPurge  Action = "organization.purge" // nothing is left of a deleted one
	SecretCreate       Action = "secret.create"
	SecretUpdate       Action = "secret.update"
	SecretPut          Action = "secret.put"
	SecretActivate     Action = "secret.activate"
	SecretDestroy      Action = "secret.destroy-version"
	SecretDelete       Action = "secret.delete"
	SecretUndelete     Action = "secret.undelete"
	SecretPurge        Action = "secret.purge"    // a deleted secret's retention has ended
	SecretExpiring     Action = "secret.expiring" // within 30 days, 7 days, or one: once each
	SecretExpired      Action = "secret.expired"
	ConsumerCreate     Action = "consumer.create"
	ConsumerUpdate     Action = "consumer.update"
	ConsumerDelete     Action = "consumer.delete"
	MemberAdd          Action = "member.add"
	MemberUpdate       Action = "member.update"
	MemberRemove       Action = "member.remove"
	InvitationCreate   Action = "invitation.create"
	InvitationRevoke   Action = "invitation.revoke"
	InvitationAccept   Action = "invitation.accept" // by the new member, whose member.add is in the same change
	TokenCreate        Action = "token.create"
	TokenRevoke        Action = "token.revoke"
	FederationCreate   Action = "federation.create"
	FederationExchange Action = "federation.exchange" // a job got a bearer for its ID token
	FederationDelete   Action = "federation.delete"
	SessionCreate      Action = "session.create"
	SessionRevoke      Action = "session.revoke"
	DeviceApprove      Action = "device.approve" // a person let a command line in
	DeviceRefuse       Action = "device.refuse"
	ProviderCreate     Action = "provider.create"
	ProviderUpdate     Action = "provider.update"
	ProviderDelete     Action = "provider.delete"
	LeaseGrant         Action = "lease.grant"
	LeaseRevoke        Action = "lease.revoke"
	LeaseAbandon       Action = "lease.abandon" // it ends by itself: its provider was deleted or points to another server
	WorkloadResolve    Action = "workload.resolve"
	WorkloadStop       Action = "workload.stop"

	AdministratorAdd    Action = "administrator.add"
	AdministratorRemove Action = "administrator.remove"
	BootstrapEnd        Action = "bootstrap.end"
	BootstrapReopen     Action = "bootstrap.reopen" // a registry was started that accepts the bootstrap token although it has ended
)
