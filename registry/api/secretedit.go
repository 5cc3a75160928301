// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strings"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// secretEdit is a PATCH of a secret. cluster is what grants mean that name none.
type secretEdit struct {
	contract.SecretUpdate
	cluster string
}

// apply changes the fields that are given. It may be called more than once.
func (e secretEdit) apply(s *store.Secret) error {
	s.Name = or(e.Name, s.Name)
	s.Description = or(e.Description, s.Description)
	s.Labels = or(e.Labels, s.Labels)
	if e.ExpiresAt.IsSpecified() {
		s.ExpiresAt = nil
		if t, err := e.ExpiresAt.Get(); err == nil {
			s.ExpiresAt = &t
		}
	}
	if e.Grants != nil {
		s.Grants = bindings(*e.Grants, e.cluster)
	}
	return e.applyStorage(s)
}

func (e secretEdit) applyStorage(s *store.Secret) error {
	remote := remoteEdit{e.ProviderID, e.RemotePath, e.RemoteKey, e.RemoteVersion}
	value := e.Value != nil || e.ValueBase64 != nil || e.Generate != nil
	target := store.Storage(or(e.Storage, contract.Storage(s.Storage)))
	switch {
	case value && (remote.given() || e.Storage != nil && target == store.StorageRemote):
		return remote.refuseValue(valueField(e.Value, e.Generate))
	case value, target == store.StorageLocal && !remote.given():
		s.Storage, s.Remote = store.StorageLocal, nil
	case target == store.StorageLocal && e.Storage != nil:
		return field(remote.first(), "forbidden", "a local secret has no remote reference")
	case target == store.StorageLocal:
		return field("/storage", "required", `the secret is local; to make it remote, send "storage": "remote" too`)
	default:
		s.Storage = store.StorageRemote
		r := store.Remote{}
		if s.Remote != nil {
			r = *s.Remote
		}
		remote.apply(&r)
		s.Remote = &r
	}
	return nil
}

// remoteEdit is what a request says of a remote reference.
type remoteEdit struct{ provider, path, key, version *string }

func (e remoteEdit) given() bool { return e.first() != "" }

// first points to the first field that is given.
func (e remoteEdit) first() string {
	switch {
	case e.provider != nil:
		return "/provider_id"
	case e.path != nil:
		return "/remote_path"
	case e.key != nil:
		return "/remote_key"
	case e.version != nil:
		return "/remote_version"
	}
	return ""
}

func (e remoteEdit) apply(r *store.Remote) {
	r.ProviderID, r.Path = or(e.provider, r.ProviderID), or(e.path, r.Path)
	r.Key, r.Version = or(e.key, r.Key), or(e.version, r.Version)
}

// refuseValue is the answer to a value for a remote secret.
func (remoteEdit) refuseValue(pointer string) error {
	return field(pointer, "forbidden", "a remote secret has no value here; give either a value or a remote reference")
}

// valueField points to the field that gives a value.
func valueField(text *string, random *contract.Generate) string {
	switch {
	case text != nil:
		return "/value"
	case random != nil:
		return "/generate"
	}
	return "/value_base64"
}

// labelFilter splits key=value filters, which the document has checked.
func labelFilter(filters *[]string) map[string]string {
	if filters == nil {
		return nil
	}
	labels := make(map[string]string, len(*filters))
	for _, f := range *filters {
		key, value, _ := strings.Cut(f, "=")
		labels[key] = value
	}
	return labels
}
