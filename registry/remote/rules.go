// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"errors"
	"strings"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// CheckProvider implements [store.ProviderRules].
func (p *Providers) CheckProvider(of store.Provider, credentials redact.Value) error {
	err := p.manager.Validate(record(of, credentials))
	if err == nil {
		return nil
	}
	failed, ok := errors.AsType[*provider.Error](err)
	if !ok {
		return err
	}
	pointer, message := fieldOf(failed.Message)
	return &store.FieldError{Pointer: pointer, Code: string(failed.Reason), Message: message}
}

// CheckRemote implements [store.ProviderRules].
func (p *Providers) CheckRemote(of store.Provider, r store.Remote) error {
	err := p.manager.ValidateRef(record(of, redact.Value{}), r)
	if err == nil {
		return nil
	}
	failed, ok := errors.AsType[*provider.Error](err)
	if !ok {
		return err
	}
	pointer := "/remote_path"
	switch {
	case failed.Reason == provider.ReasonConfig: // the type
		pointer = "/provider_id"
	case strings.HasPrefix(failed.Message, "the version"):
		pointer = "/remote_version"
	}
	return &store.FieldError{Pointer: pointer, Code: string(failed.Reason), Message: failed.Message}
}

// fieldOf splits a message of a type's Validate, which begins with the field it is about: "config.auth.role: required". What names no field is about the type.
func fieldOf(message string) (pointer, rest string) {
	field, rest, ok := strings.Cut(message, ": ")
	root, _, _ := strings.Cut(field, ".")
	root, _, _ = strings.Cut(root, "/")
	switch {
	case ok && (root == "config" || root == "credentials" || root == "allowed_prefixes" || root == "last_known_good"):
		return "/" + strings.ReplaceAll(field, ".", "/"), rest
	default:
		return "/type", message
	}
}
