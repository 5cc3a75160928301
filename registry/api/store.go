// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Store is what the handlers need of [store.Store], whose documentation applies.
type Store interface {
	Organization(ctx context.Context, slugOrID string) (store.Organization, error)
	Organizations(ctx context.Context, q store.Query) (store.Page[store.Organization], error)
	CreateOrganization(ctx context.Context, act store.Act, o store.Organization) (store.Organization, error)
	UpdateOrganization(ctx context.Context, act store.Act, orgID string, expect int64, change func(*store.Organization) error) (store.Organization, error)
	DeleteOrganization(ctx context.Context, act store.Act, orgID string, expect int64) error

	Secret(ctx context.Context, orgID, nameOrID string) (store.Secret, error)
	Secrets(ctx context.Context, orgID string, q store.Query) (store.Page[store.Secret], error)
	Versions(ctx context.Context, orgID, nameOrID string) ([]store.Version, error)
	References(ctx context.Context, orgID, nameOrID string) ([]store.Reference, error)
	CreateSecret(ctx context.Context, act store.Act, orgID string, n store.NewSecret) (store.Secret, error)
	UpdateSecret(ctx context.Context, act store.Act, orgID, id string, expect int64, change func(*store.Secret) error) (store.Secret, error)
	DeleteSecret(ctx context.Context, act store.Act, orgID, id string, expect int64, force bool) error
	UndeleteSecret(ctx context.Context, act store.Act, orgID, id string, expect int64) (store.Secret, error)
	PutVersion(ctx context.Context, act store.Act, orgID, id string, expect int64, value redact.Value, activate bool) (store.Secret, store.Version, error)
	ActivateVersion(ctx context.Context, act store.Act, orgID, id string, expect int64, number uint64) (store.Secret, error)
	DestroyVersion(ctx context.Context, act store.Act, orgID, id string, expect int64, number uint64) (store.Version, error)

	Consumer(ctx context.Context, orgID, nameOrID string) (store.Consumer, error)
	Consumers(ctx context.Context, orgID string, q store.Query) (store.Page[store.Consumer], error)
	CreateConsumer(ctx context.Context, act store.Act, orgID string, c store.Consumer) (store.Consumer, error)
	UpdateConsumer(ctx context.Context, act store.Act, orgID, id string, expect int64, change func(*store.Consumer) error) (store.Consumer, error)
	DeleteConsumer(ctx context.Context, act store.Act, orgID, id string, expect int64) error

	AuditEvents(ctx context.Context, orgID string, q store.AuditQuery) (store.Page[audit.Event], error)
}
