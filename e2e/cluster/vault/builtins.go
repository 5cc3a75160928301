// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"

	authkubernetes "github.com/hashicorp/vault-plugin-auth-kubernetes"
	secretskv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/vault"
)

// builtins names the plugins linked into this server. Vault looks every mount
// up in its catalog, and a core without a catalog panics on the first one. The
// complete catalog would link every cloud's SDK.
type builtins struct{}

// leased is an engine that keeps values as they were written and gives them out
// on leases, which are Vault's own: renewed, revoked and expired like those of
// engines that make credentials, without a database to make them in. Field ttl
// of a value is the life of its leases.
const leased = "leased-kv"

var plugins = map[consts.PluginType]map[string]any{
	consts.PluginTypeSecrets:    {"kv": secretskv.Factory, leased: vault.LeasedPassthroughBackendFactory},
	consts.PluginTypeCredential: {"approle": approle.Factory, "kubernetes": authkubernetes.Factory},
}

func (builtins) Contains(name string, kind consts.PluginType) bool {
	_, ok := plugins[kind][name]
	return ok
}

func (builtins) Get(name string, kind consts.PluginType) (func() (any, error), bool) {
	factory, ok := plugins[kind][name]
	return func() (any, error) { return factory, nil }, ok
}

func (builtins) Keys(kind consts.PluginType) []string {
	var names []string
	for name := range plugins[kind] {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (b builtins) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, b.Contains(name, kind)
}

func (builtins) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }
