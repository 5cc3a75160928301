// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/auditchain"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Store is what the API needs of a [store.Store]. No method returns a value or credentials. Reads must return everything that was acknowledged before they began, and errors
// must wrap those of package store and contain no value.
type Store interface {
	CreateOrganization(ctx context.Context, act store.Act, o store.Organization, owners ...string) (store.Organization, error)
	UpdateOrganization(ctx context.Context, act store.Act, orgID string, expect int64, edit func(*store.Organization) error) (store.Organization, error)
	DeleteOrganization(ctx context.Context, act store.Act, orgID string, expect int64, force bool) error
	Contents(ctx context.Context, orgID string) ([]store.Content, error)
	Deletions(ctx context.Context) ([]store.Deletion, error)
	Organization(ctx context.Context, slugOrID string) (store.Organization, error)
	Organizations(ctx context.Context, q store.Query) (store.Page[store.Organization], error)

	CreateSecret(ctx context.Context, act store.Act, orgID string, n store.NewSecret) (store.Secret, error)
	ReviseSecret(ctx context.Context, act store.Act, orgID, id string, expect int64, edit func(*store.Secret) error, value *redact.Value) (store.Secret, error)
	DeleteSecret(ctx context.Context, act store.Act, orgID, id string, expect int64, force bool) error
	UndeleteSecret(ctx context.Context, act store.Act, orgID, id string, expect int64) (store.Secret, error)
	PutSecrets(ctx context.Context, act store.Act, orgID string, secrets []store.NewSecret, existing store.Existing) ([]store.BatchResult, error)
	PlanSecrets(ctx context.Context, orgID string, secrets []store.NewSecret, existing store.Existing) ([]store.BatchResult, error)
	Secret(ctx context.Context, orgID, nameOrID string) (store.Secret, error)
	PurgeAt(secret store.Secret) *time.Time
	Secrets(ctx context.Context, orgID string, q store.Query) (store.Page[store.Secret], error)
	SecretNames(ctx context.Context, orgID string, ids []string) (map[string]string, error)
	References(ctx context.Context, orgID, nameOrID string) ([]store.Reference, error)

	PutVersion(ctx context.Context, act store.Act, orgID, id string, expect int64, value redact.Value, activate bool) (store.Secret, store.Version, error)
	ActivateVersion(ctx context.Context, act store.Act, orgID, id string, expect int64, number uint64) (store.Secret, error)
	DestroyVersion(ctx context.Context, act store.Act, orgID, id string, expect int64, number uint64) (store.Version, error)
	Versions(ctx context.Context, orgID, nameOrID string) ([]store.Version, error)

	CreateProvider(ctx context.Context, act store.Act, orgID string, n store.NewProvider) (store.Provider, error)
	ReviseProvider(ctx context.Context, act store.Act, orgID, id string, expect int64, edit func(*store.Provider) error, credentials *redact.Value) (store.Provider, error)
	DeleteProvider(ctx context.Context, act store.Act, orgID, id string, expect int64) error
	Provider(ctx context.Context, orgID, nameOrID string) (store.Provider, error)
	Providers(ctx context.Context, orgID string, q store.Query) (store.Page[store.Provider], error)

	CreateConsumer(ctx context.Context, act store.Act, orgID string, c store.Consumer) (store.Consumer, error)
	UpdateConsumer(ctx context.Context, act store.Act, orgID, id string, expect int64, edit func(*store.Consumer) error) (store.Consumer, error)
	DeleteConsumer(ctx context.Context, act store.Act, orgID, id string, expect int64) error
	Consumer(ctx context.Context, orgID, nameOrID string) (store.Consumer, error)
	Consumers(ctx context.Context, orgID string, q store.Query) (store.Page[store.Consumer], error)

	Workload(ctx context.Context, orgID, id string) (store.Workload, error)
	Workloads(ctx context.Context, orgID string, q store.WorkloadQuery) (store.Page[store.Workload], error)

	Standing(ctx context.Context, slugOrID, principal string) (store.Organization, store.Role, error)
	Memberships(ctx context.Context, principal string) ([]store.Membership, error)
	AddMember(ctx context.Context, act store.Act, orgID string, m store.Member) (store.Member, error)
	SetRole(ctx context.Context, act store.Act, orgID, principal string, expect int64, role store.Role, force bool) (store.Member, error)
	RemoveMember(ctx context.Context, act store.Act, orgID, principal string, expect int64, force bool) error
	Member(ctx context.Context, orgID, principalOrID string) (store.Member, error)
	Members(ctx context.Context, orgID string, q store.Query) (store.Page[store.Member], error)

	CreateInvitation(ctx context.Context, act store.Act, orgID string, n store.Invitation, hash func(id string) [32]byte) (store.Invitation, error)
	RevokeInvitation(ctx context.Context, act store.Act, orgID, id string, expect int64) error
	AcceptInvitation(ctx context.Context, act store.Act, id string, sum [32]byte, principal string) (store.Member, error)
	Invitation(ctx context.Context, orgID, id string) (store.Invitation, error)
	Invitations(ctx context.Context, orgID string, q store.Query) (store.Page[store.Invitation], error)

	CreateAPIToken(ctx context.Context, act store.Act, orgID string, t store.APIToken, hash func(id string) [32]byte) (store.APIToken, error)
	DeleteAPIToken(ctx context.Context, act store.Act, orgID, id string, expect int64) error
	APIToken(ctx context.Context, orgID, nameOrID string) (store.APIToken, error)
	APITokens(ctx context.Context, orgID string, q store.Query) (store.Page[store.APIToken], error)

	CreateFederation(ctx context.Context, act store.Act, orgID string, f store.Federation) (store.Federation, error)
	DeleteFederation(ctx context.Context, act store.Act, orgID, id string, expect int64) error
	Federation(ctx context.Context, orgID, nameOrID string) (store.Federation, error)
	FederatedToken(ctx context.Context, orgID, id string) (store.FederatedToken, error)
	Federations(ctx context.Context, orgID string, q store.Query) (store.Page[store.Federation], error)

	Administration(ctx context.Context, principal string) (store.Administration, error)
	EndBootstrap(ctx context.Context, act store.Act, principal string) error
	AddAdministrator(ctx context.Context, act store.Act, principal string) (store.Administrator, error)
	RemoveAdministrator(ctx context.Context, act store.Act, principal string, expect int64) error
	Administrator(ctx context.Context, principalOrID string) (store.Administrator, error)
	Administrators(ctx context.Context, q store.Query) (store.Page[store.Administrator], error)

	Session(ctx context.Context, principal, id string) (store.Session, error)
	Sessions(ctx context.Context, principal string) ([]store.Session, error)
	RevokeSession(ctx context.Context, act store.Act, principal, id string) error
	Recall(ctx context.Context, act store.Act, results ...any) (bool, error)
	Keep(ctx context.Context, act store.Act, results ...any) error

	AuditChain(ctx context.Context, orgID string, q store.ChainQuery) ([]auditchain.Line, error)
	VerifyAudit(ctx context.Context, orgID string) (events uint64, end auditchain.Position, err error)
	AuditEvents(ctx context.Context, orgID string, q store.AuditQuery) (store.Page[audit.Event], error)
}
