// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/base64"
	"strings"
	"time"

	. "github.com/lanyard-dev/lanyard/pkg/api" //nolint:staticcheck // the generated server names these types without a package
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// optional is nil for the zero value, so that it is left out of an answer.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func set[T any](into *T, from *T) {
	if from != nil {
		*into = *from
	}
}

func mapped[A, B any](in []A, f func(A) B) []B {
	out := make([]B, len(in))
	for i, item := range in {
		out[i] = f(item)
	}
	return out
}

func organization(o store.Organization) Organization {
	return Organization{
		Id: o.ID, Slug: o.Slug, DisplayName: o.DisplayName,
		CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt, CreatedBy: o.CreatedBy, UpdatedBy: o.UpdatedBy,
	}
}

func secret(s store.Secret) Secret {
	out := Secret{
		Id: s.ID, Name: s.Name, Description: s.Description, Labels: labels(s.Labels), Storage: Storage(s.Storage),
		ActiveVersion: optional(int64(s.ActiveVersion)), LastVersion: optional(int64(s.LastVersion)), //nolint:gosec // version numbers count puts
		ExpiresAt: s.ExpiresAt, DeletedAt: s.DeletedAt,
		CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt, CreatedBy: s.CreatedBy, UpdatedBy: s.UpdatedBy,
	}
	if r := s.Remote; r != nil {
		out.ProviderId, out.RemotePath, out.RemoteKey, out.RemoteVersion = &r.ProviderID, &r.Path, optional(r.Key), optional(r.Version)
	}
	return out
}

func labels(l map[string]string) Labels {
	if l == nil {
		return Labels{}
	}
	return l
}

func version(v store.Version, active uint64) Version {
	return Version{
		Number: int64(v.Number), Active: v.Number == active, CreatedAt: v.CreatedAt, CreatedBy: v.CreatedBy, //nolint:gosec // version numbers count puts
		NoEnvfile: optional(v.NoEnvfile), DestroyedAt: v.DestroyedAt,
	}
}

func references(list []store.Reference) []Reference {
	return mapped(list, func(r store.Reference) Reference {
		return Reference{Kind: r.Kind, Id: r.ID, Name: r.Name, Field: r.Field}
	})
}

// submitted is the value of a request, moved out of its body. The error names the field, never the value.
func submitted(text, encoded *string) (*redact.Value, error) {
	switch {
	case text != nil && encoded != nil:
		return nil, invalid("/value", "forbidden", "give value or value_base64, not both")
	case text != nil:
		v := redact.New([]byte(*text))
		*text = ""
		return &v, nil
	case encoded != nil:
		decoded, err := base64.StdEncoding.DecodeString(*encoded)
		if err != nil {
			return nil, invalid("/value_base64", "syntax", "it is not standard base64 with padding")
		}
		*encoded = ""
		v := redact.New(decoded)
		return &v, nil
	}
	return nil, nil
}

// remote is the reference a request describes, or nil if it mentions none.
func remote(provider, path, key, pinned *string) *store.Remote {
	if provider == nil && path == nil && key == nil && pinned == nil {
		return nil
	}
	return &store.Remote{ProviderID: value(provider), Path: value(path), Key: value(key), Version: value(pinned)}
}

func query(size *int, token *string, search *string) store.Query {
	return store.Query{Limit: value(size), After: value(token), Search: value(search)}
}

// labelQuery reads "key=value" filters.
func labelQuery(filters *[]string) (map[string]string, error) {
	out := map[string]string{}
	for _, filter := range value(filters) {
		key, v, ok := strings.Cut(filter, "=")
		if !ok || key == "" {
			return nil, invalid("query parameter label", "syntax", "it must have the form key=value")
		}
		out[key] = v
	}
	return out, nil
}

func auditEvent(e audit.Event) AuditEvent {
	out := AuditEvent{
		Id: e.ID, Time: e.Time, RequestId: optional(e.RequestID), Actor: e.Actor, SourceIp: optional(e.SourceIP), Action: string(e.Action),
		Outcome: AuditEventOutcome(e.Outcome), Reason: optional(e.Reason), ResourceKind: optional(e.ResourceKind), ResourceId: optional(e.ResourceID),
		ResourceName: optional(e.ResourceName), Version: optional(int64(e.Version)), //nolint:gosec // version numbers count puts
	}
	if len(e.Changed) > 0 {
		out.Changed = &e.Changed
	}
	if w := e.Workload; w != nil {
		out.Workload = &AuditWorkload{
			Cluster: w.Cluster, Namespace: w.Namespace, ServiceAccount: w.ServiceAccount, Pod: w.Pod, PodUid: w.PodUID,
			Node: optional(w.Node), TokenId: optional(w.TokenID),
		}
		if len(w.Released) > 0 {
			released := mapped(w.Released, func(g audit.Grant) AuditGrant {
				return AuditGrant{Container: g.Container, Consumer: g.Consumer, Env: g.Env, Secret: optional(g.Secret), Version: optional(int64(g.Version))} //nolint:gosec // as above
			})
			out.Workload.Released = &released
		}
	}
	return out
}

// expiry is what expires_at of a change means: nothing, a time, or, with the zero time, no expiry.
func expiry(into **time.Time, from *time.Time) {
	switch {
	case from == nil:
	case from.IsZero():
		*into = nil
	default:
		*into = from
	}
}

func setLabels(into *map[string]string, from *Labels) {
	if from != nil {
		*into = *from
	}
}
