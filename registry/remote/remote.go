// SPDX-License-Identifier: Apache-2.0

// Package remote connects the providers that the store keeps with package provider, which reads from them: it gives the [provider.Manager] the records as they are
// now, the store the rules of the types, and the resolver the values.
package remote

import (
	"context"
	"errors"
	"fmt"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// View is what [store.Store.View] returns, as far as it is needed here.
type View interface {
	FindProvider(orgID, id string) (store.Provider, error)
	OpenCredentials(orgID, id string) (redact.Value, error)
}

// Providers are the secret providers of an installation. They are safe for concurrent use.
type Providers struct {
	manager *provider.Manager
	view    func(context.Context) (View, error)
}

var _ store.ProviderRules = (*Providers)(nil)

// New returns providers that read their records from view, which runs the store's read barrier; it is not called before the first fetch. config.Records is not
// used. The caller closes them.
func New(config provider.Config, view func(context.Context) (View, error)) (*Providers, error) {
	p := &Providers{view: view}
	config.Records = p
	var err error
	p.manager, err = provider.NewManager(config)
	return p, err
}

// Run is [provider.Manager.Run].
func (p *Providers) Run(ctx context.Context) error { return p.manager.Run(ctx) }

// Close is [provider.Manager.Close].
func (p *Providers) Close() error { return p.manager.Close() }

// Record implements [provider.Records]. A change is seen by the next read of every replica: the view holds every write acknowledged before the call.
func (p *Providers) Record(ctx context.Context, orgID, providerID string) (provider.Record, error) {
	view, err := p.view(ctx)
	if err != nil {
		return provider.Record{}, err
	}
	found, err := view.FindProvider(orgID, providerID)
	if errors.Is(err, store.ErrNotFound) {
		return provider.Record{}, fmt.Errorf("%w: %w", provider.ErrNoRecord, err)
	}
	if err != nil {
		return provider.Record{}, err
	}
	credentials, err := view.OpenCredentials(orgID, providerID)
	if err != nil {
		return provider.Record{}, err
	}
	return record(found, credentials), nil
}

func record(p store.Provider, credentials redact.Value) provider.Record {
	return provider.Record{
		ID: p.ID, Name: p.Name, Type: p.Type, Config: p.Config, Credentials: credentials, AllowedPrefixes: p.AllowedPrefixes, Revision: p.Revision,
	}
}

// fetcher is a [resolve.Fetcher].
type fetcher struct{ batch *provider.Batch }

// Begin begins the fetches of one request: what they want from one path comes from one read.
func (p *Providers) Begin() resolve.Fetcher { return fetcher{p.manager.Begin()} }

func (f fetcher) Fetch(ctx context.Context, orgID string, remote store.Remote) (redact.Value, error) {
	value, err := f.batch.Fetch(ctx, orgID, remote)
	if failed, ok := errors.AsType[*provider.Error](err); ok {
		return redact.Value{}, &resolve.FetchError{Code: failed.Code(), Provider: failed.Provider, Reason: string(failed.Reason), Message: failed.Message, Err: failed}
	}
	return value, err
}

// Check reports whether a provider's server can be reached and accepts the credentials. No secret is read.
func (p *Providers) Check(ctx context.Context, orgID, providerID string) resolve.Outcome {
	err := p.manager.Check(ctx, orgID, providerID)
	if err == nil {
		return resolve.Outcome{}
	}
	failed, ok := errors.AsType[*provider.Error](err)
	if !ok {
		failed = &provider.Error{Kind: provider.KindUnavailable, Reason: provider.ReasonUnreachable, Message: "the check ended early"}
	}
	return resolve.Outcome{Code: failed.Code(), Reason: string(failed.Reason), Message: failed.Message, Provider: failed.Provider}
}
