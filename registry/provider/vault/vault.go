// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// Name is the name of the type.
const Name = "vault"

// Type is Vault and OpenBao as a type of provider.
func Type() provider.Type {
	return provider.Type{
		Name:     Name,
		Validate: func(r provider.Record, host provider.Host) error { _, err := parse(r, host); return err },
		Path:     ref,
		Allows:   mayBeAllowed,
		Audience: audience,
		Open:     func(r provider.Record, host provider.Host) (provider.Provider, error) { return Open(r, host) },
	}
}

// Vault is a provider. Open one with [Open].
type Vault struct {
	*settings
	host   provider.Host
	log    *slog.Logger
	http   *http.Client
	login  login
	mounts mounts
	tended tended
}

var _ provider.Provider = (*Vault)(nil)

// Open returns a provider for a record. It does no I/O. The caller closes it.
func Open(r provider.Record, host provider.Host) (*Vault, error) {
	s, err := parse(r, host)
	if err != nil {
		return nil, err
	}
	v := &Vault{settings: s, host: host, log: host.Log}
	if v.log == nil {
		v.log = slog.New(slog.DiscardHandler)
	}
	v.log = v.log.With("provider", r.Name, "provider_id", r.ID)
	v.http = rest.Client(host.Egress, s.tls)
	v.login.vault, v.login.authenticate = v, v.authenticate
	if v.passesThrough() {
		v.login.authenticate = nobody
	}
	v.mounts.declare(s.Mounts)
	return v, nil
}

// ref checks the path and version of a secret. A version is that of KV version 2.
func ref(path, version string) (provider.Ref, error) {
	invalid := func(message string) (provider.Ref, error) {
		return provider.Ref{}, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonReference, Message: message}
	}
	clean, err := provider.CleanPath(path)
	if err != nil {
		return invalid(err.Error())
	}
	if reserved(clean) {
		return invalid("paths below auth, cubbyhole, identity and sys are Vault's own: they would give away the registry's token")
	}
	if version != "" {
		if n, err := strconv.ParseUint(version, 10, 31); err != nil || n == 0 || strconv.FormatUint(n, 10) != version {
			return invalid("the version must be a number from 1")
		}
	}
	return provider.Ref{Path: clean, Version: version}, nil
}

// Read implements [provider.Provider].
func (v *Vault) Read(ctx context.Context, ref provider.Ref) (provider.Document, error) {
	return v.read(ctx, &v.login, ref)
}

func (v *Vault) read(ctx context.Context, l *login, ref provider.Ref) (provider.Document, error) {
	if !mayBeAllowed(ref.Path, v.prefixes) {
		return provider.Document{}, outsidePrefixes()
	}
	m, err := v.mount(ctx, l, ref.Path)
	if err != nil {
		return provider.Document{}, err
	}
	doc, err := v.readMount(ctx, l, m, ref)
	if err == nil || !v.mounts.stale(m) {
		return doc, err
	}
	// The engine may have been replaced or upgraded since it was looked at. Ask anew, and read again only if it was.
	now, lookup := v.lookupMount(ctx, l, ref.Path)
	if lookup != nil || now.same(m) {
		return provider.Document{}, err
	}
	return v.readMount(ctx, l, now, ref)
}

func (v *Vault) readMount(ctx context.Context, l *login, m mount, ref provider.Ref) (provider.Document, error) {
	if !v.allowed(m, ref.Path) {
		return provider.Document{}, outsidePrefixes()
	}
	path, err := m.url(ref)
	if err != nil {
		return provider.Document{}, err
	}
	var query url.Values
	if ref.Version != "" {
		query = url.Values{"version": {ref.Version}}
	}
	a, session, err := l.get(ctx, path, query)
	if err != nil {
		return provider.Document{}, explainRead(m, err)
	}
	if m.Engine == EngineKV2 {
		return versioned(a.Data)
	}
	if len(a.Data) == 0 {
		return provider.Document{}, &provider.Error{Kind: provider.KindNotFound, Reason: provider.ReasonPath, Message: "Vault has nothing at this path"}
	}
	doc, err := provider.NewDocument(a.Data)
	if m.Engine != EngineDynamic {
		return doc, err
	}
	session.leased.Store(true)
	doc.Leased, doc.Lease = true, v.lease(session, a)
	return doc, err
}

// versioned takes the fields out of the answer of KV version 2.
func versioned(data []byte) (provider.Document, error) {
	var v struct {
		Data rawMessage `json:"data"`
	}
	if len(data) == 0 || provider.DecodeJSON(data, &v) != nil || len(v.Data) == 0 {
		return provider.Document{}, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonAnswer, Message: "the answer is not that of KV version 2"}
	}
	return provider.NewDocument(v.Data)
}

// explainRead tells a version that is gone from a path that never was: KV version 2 answers 404 to both, with metadata to the first.
func explainRead(m mount, err error) error {
	status, ok := errors.AsType[*statusError](err)
	if !ok || status.status != http.StatusNotFound || m.Engine != EngineKV2 {
		return explain(err)
	}
	var a answer
	var v struct {
		Metadata *struct {
			Destroyed bool `json:"destroyed"`
		} `json:"metadata"`
	}
	if provider.DecodeJSON(status.body, &a) != nil || len(a.Data) == 0 || provider.DecodeJSON(a.Data, &v) != nil || v.Metadata == nil {
		return explain(err)
	}
	message := "this version was deleted; undelete it or write a new one"
	if v.Metadata.Destroyed {
		message = "this version was destroyed"
	}
	return &provider.Error{Kind: provider.KindNotFound, Reason: provider.ReasonVersion, Message: message}
}

// Check implements [provider.Provider]. It logs in if need be and asks Vault about the token.
func (v *Vault) Check(ctx context.Context) error {
	if v.passesThrough() {
		return v.checkWithoutPod(ctx)
	}
	_, _, err := v.login.get(ctx, lookupSelf, nil)
	switch {
	case err == nil:
		return nil
	case forbidden(err):
		return nil // a login has just succeeded; its policies do not let the token look at itself, which it need not
	default:
		return explain(err)
	}
}

// Close implements [provider.Provider]. A token that dynamic credentials were made with is not revoked: they would end with it, while pods use them.
func (v *Vault) Close() error {
	err := v.login.close()
	v.http.CloseIdleConnections()
	return err
}
