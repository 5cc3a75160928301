// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lanyard-dev/lanyard/registry/provider"
)

type rawMessage = json.RawMessage

// mount is a secrets engine and how it was learnt of.
type mount struct {
	Mount
	learnt time.Time // zero: declared in the configuration
}

func (m mount) same(other mount) bool { return m.Mount == other.Mount }

// reserved reports whether a path belongs to Vault itself. A read of auth/token/lookup-self, for one, answers with the registry's own token.
func reserved(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return slices.Contains([]string{"auth", "cubbyhole", "identity", "sys"}, first)
}

// url returns the path of the request for ref.
func (m mount) url(ref provider.Ref) (string, error) {
	logical := m.logical(ref.Path)
	rest := strings.TrimPrefix(strings.TrimPrefix(logical, m.Path), "/")
	invalid := func(message string) (string, error) {
		return "", &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonReference, Message: message}
	}
	switch {
	case rest == "":
		return invalid("the path names a mount, not a secret in it")
	case m.Engine == EngineKV2:
		return m.Path + "/data/" + rest, nil
	case ref.Version != "":
		return invalid("only mounts of KV version 2 have versions")
	default:
		return logical, nil
	}
}

// logical returns the path as people say it: in KV version 2, kv/data/prod/x and kv/prod/x are one secret, and this is the latter. A secret whose own name begins with data/ is
// written kv/data/data/x.
func (m mount) logical(path string) string {
	if m.Engine != EngineKV2 {
		return path
	}
	rest, ok := strings.CutPrefix(path, m.Path+"/")
	if !ok {
		return path
	}
	if rest == "data" {
		return m.Path
	}
	if inner, ok := strings.CutPrefix(rest, "data/"); ok {
		return m.Path + "/" + inner
	}
	return path
}

// allowed compares the path with the allowed prefixes in their logical forms, so that it does not matter in which form either is written.
func (v *Vault) allowed(m mount, path string) bool {
	prefixes := make([]string, len(v.prefixes))
	for i, p := range v.prefixes {
		prefixes[i] = m.logical(p)
	}
	return provider.Allowed(m.logical(path), prefixes)
}

// mayBeAllowed reports whether the path is within prefixes under some engine: what is not is refused without a question to Vault, whose answer would tell what mounts there are.
func mayBeAllowed(path string, prefixes []string) bool {
	var all []string
	for _, p := range prefixes {
		all = append(all, variants(strings.TrimSuffix(p, "/"))...)
	}
	return slices.ContainsFunc(variants(path), func(variant string) bool { return provider.Allowed(variant, all) })
}

// variants are the logical forms a path can have, whatever is mounted where.
func variants(path string) []string {
	out := []string{path}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if i > 0 && s == "data" {
			out = append(out, strings.Join(slices.Delete(slices.Clone(segments), i, i+1), "/"))
		}
	}
	return out
}

func outsidePrefixes() error {
	return &provider.Error{Kind: provider.KindDenied, Reason: provider.ReasonPrefix, Message: "the path is outside the allowed prefixes of the provider"}
}

const (
	mountTTL   = 5 * time.Minute // after which a mount is asked about again
	mountFresh = 5 * time.Second // within which it is taken to be as it was: an answer of 404 need not be doubted each time
)

// mounts are the engines known so far. The zero value knows none; it is safe for concurrent use.
type mounts struct {
	mu    sync.Mutex
	known map[string]mount // :: path → mount
}

func (ms *mounts) declare(declared []Mount) {
	ms.known = make(map[string]mount)
	for _, m := range declared {
		ms.known[m.Path] = mount{Mount: m}
	}
}

// find returns the known mount that path is in.
func (ms *mounts) find(path string) (mount, bool) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	for i := len(path); i > 0; i = strings.LastIndexByte(path[:i], '/') {
		m, ok := ms.known[path[:i]]
		if ok && (m.learnt.IsZero() || time.Since(m.learnt) < mountTTL) {
			return m, true
		}
	}
	return mount{}, false
}

func (ms *mounts) learn(m mount) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.known[m.Path] = m
}

// stale reports whether a mount was learnt long enough ago to have changed.
func (ms *mounts) stale(m mount) bool {
	return !m.learnt.IsZero() && time.Since(m.learnt) > mountFresh
}

func (v *Vault) mount(ctx context.Context, l *login, path string) (mount, error) {
	if m, ok := v.mounts.find(path); ok {
		return m, nil
	}
	return v.lookupMount(ctx, l, path)
}

// lookupMount asks Vault which engine a path is in, as its own command line does.
func (v *Vault) lookupMount(ctx context.Context, l *login, path string) (mount, error) {
	a, _, err := l.get(ctx, "sys/internal/ui/mounts/"+path, nil)
	if status, ok := errors.AsType[*statusError](err); ok && (status.status == http.StatusForbidden || status.status == http.StatusNotFound) {
		return mount{}, &provider.Error{Kind: provider.KindDenied, Reason: provider.ReasonPermission,
			Message: "Vault has no mount at this path, or the credentials reach nothing in it; if they may not ask, declare it in config.mounts"}
	}
	if err != nil {
		return mount{}, explain(err)
	}
	var info struct {
		Path    string            `json:"path"`
		Type    string            `json:"type"`
		Options map[string]string `json:"options"`
	}
	if err := provider.DecodeJSON(a.Data, &info); err != nil {
		return mount{}, err
	}
	m := mount{Mount: Mount{Path: strings.TrimSuffix(info.Path, "/")}, learnt: time.Now()}
	switch info.Type {
	case "kv", "generic":
		m.Engine = EngineKV1
		if info.Options["version"] == "2" {
			m.Engine = EngineKV2
		}
	case "system", "identity", "cubbyhole", "token", "ns_system", "ns_identity", "ns_cubbyhole", "ns_token":
		return mount{}, notAnEngine()
	default:
		m.Engine = EngineDynamic
	}
	// The path is that of an authentication method, or in another namespace, if it does not begin with its mount.
	if m.Path == "" || path != m.Path && !strings.HasPrefix(path, m.Path+"/") || slices.ContainsFunc(strings.Split(m.Path, "/"), reserved) {
		return mount{}, notAnEngine()
	}
	v.mounts.learn(m)
	return m, nil
}

func notAnEngine() error {
	return &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonReference,
		Message: "the path is not that of a secret in the provider's namespace; a namespace belongs in config.namespace"}
}
