// SPDX-License-Identifier: Apache-2.0

// Package remote connects the providers that the store keeps with package provider, which reads from them: it gives the [provider.Manager] the records as they are
// now, the store the rules of the types, and the resolver the values.
package remote

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/lease"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// View is what [store.Store.View] returns, as far as it is needed here.
type View interface {
	FindProvider(orgID, id string) (store.Provider, error)
	OpenCredentials(orgID, id string) (redact.Value, error)
	AllProviders() iter.Seq[store.Provider]
}

// Providers are the secret providers of an installation. They are safe for concurrent use.
type Providers struct {
	manager *provider.Manager
	view    func(context.Context) (View, error)
	memory  *memory
}

var _ store.ProviderRules = (*Providers)(nil)

// New returns providers that read their records from view, which runs the store's read barrier, and keep last known good values in book; neither is called before the first fetch. config.Records is not
// used. The caller closes them.
func New(config provider.Config, view func(context.Context) (View, error), book func() Book) (*Providers, error) {
	p := &Providers{view: view}
	config.Records = p
	var err error
	if p.manager, err = provider.NewManager(config); err != nil {
		return nil, err
	}
	p.memory, err = newMemory(book, config.Metrics, config.Log)
	return p, err
}

// Run is [provider.Manager.Run]; meanwhile last known good values are kept of the providers that want it.
func (p *Providers) Run(ctx context.Context) error {
	var keeping sync.WaitGroup
	defer keeping.Wait()
	keeping.Go(func() { p.memory.run(ctx) })
	return p.manager.Run(ctx)
}

// Close is [provider.Manager.Close].
func (p *Providers) Close() error { return p.manager.Close() }

// Record implements [provider.Records]. A change is seen by the next read of every replica: the view holds every write acknowledged before the call.
func (p *Providers) Record(ctx context.Context, orgID, providerID string) (provider.Record, error) {
	view, err := p.view(ctx)
	if err != nil {
		return provider.Record{}, err
	}
	found, err := view.FindProvider(orgID, providerID)
	if err != nil {
		return provider.Record{}, noRecord(err)
	}
	credentials, err := view.OpenCredentials(orgID, providerID)
	if err != nil {
		return provider.Record{}, err
	}
	return record(found, credentials), nil
}

// All implements [provider.Records].
func (p *Providers) All(ctx context.Context) ([]provider.Key, error) {
	view, err := p.view(ctx)
	if err != nil {
		return nil, err
	}
	var keys []provider.Key
	for found := range view.AllProviders() {
		keys = append(keys, provider.Key{OrgID: found.OrgID, ProviderID: found.ID, Type: found.Type})
	}
	return keys, nil
}

func record(p store.Provider, credentials redact.Value) provider.Record {
	r := provider.Record{
		ID: p.ID, Name: p.Name, Type: p.Type, Config: p.Config, Credentials: credentials, AllowedPrefixes: p.AllowedPrefixes, Revision: p.Revision,
	}
	if p.LastKnownGood != nil {
		r.LastKnownGood = p.LastKnownGood.MaximumAge
	}
	return r
}

// fetcher is a [resolve.Fetcher].
type fetcher struct {
	providers *Providers
	batch     *provider.Batch
	page      *lease.Page // nil: leases are given back when the request ends
	recall    *recall     // nil: only what the provider answers now
}

// Begin begins the fetches of one request: what they want from one path comes from one read. Leases are written down on page; without one, what is leased is given back when the request ends. Fresh says that
// no last known good value will do. tokens are the pod's own, nil if no pod asks.
func (p *Providers) Begin(page *lease.Page, fresh bool, tokens provider.Tokens) resolve.Fetcher {
	f := fetcher{providers: p, page: page}
	if page == nil {
		f.batch = p.manager.Begin(nil).For(tokens)
	} else {
		f.batch = p.manager.Begin(func(ctx context.Context, g provider.Granted) error { return keep(ctx, page, g) }).For(tokens)
	}
	if !fresh {
		f.recall = &recall{}
	}
	return f
}

// Fetch implements [resolve.Fetcher].
func (f fetcher) Fetch(ctx context.Context, secret store.Secret) (resolve.Fetched, error) {
	fetched, err := f.batch.Fetch(ctx, secret.OrgID, *secret.Remote)
	if err == nil {
		if fetched.Source.Keep > 0 && !fetched.Leased {
			f.providers.memory.keep(secret, fetched)
		}
		return resolve.Fetched{Value: fetched.Value, Leased: fetched.Leased}, nil
	}
	failed, ok := errors.AsType[*provider.Error](err)
	if !ok {
		return resolve.Fetched{}, err
	}
	if old, ok := f.providers.fallBack(ctx, f.recall, secret, failed); ok {
		return old, nil
	}
	return resolve.Fetched{}, fetchError(failed)
}

func fetchError(e *provider.Error) *resolve.FetchError {
	return &resolve.FetchError{Code: e.Code(), Provider: e.Provider, Reason: string(e.Reason), Message: e.Message, Err: e}
}

// Reference is what a [resolve.Explainer] asks: why a read would fail before the server is asked. found is what looking the provider up failed with.
func (p *Providers) Reference(of store.Provider, found error, remote store.Remote) error {
	if found != nil {
		return fetchError(provider.Unread(noRecord(found)))
	}
	err := p.manager.ValidateRef(record(of, redact.Value{}), remote)
	if failed, ok := errors.AsType[*provider.Error](err); ok {
		return fetchError(failed)
	}
	return nil
}

// Audience returns the audience of the pods' own tokens that a provider is read with; empty if it has an identity of its own.
func (p *Providers) Audience(of store.Provider) string {
	return p.manager.Audience(record(of, redact.Value{}))
}

// noRecord says of an error of the store in the words of package provider that there is no such provider.
func noRecord(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%w: %w", provider.ErrNoRecord, err)
	}
	return err
}

func (f fetcher) End(delivered bool) {
	f.batch.End()
	if !delivered && f.page != nil {
		f.page.Lost()
	}
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

// Health tells what this replica knows of a provider, and asks nobody.
func (p *Providers) Health(of store.Provider) api.ProviderHealth {
	h := p.manager.Health(of.OrgID, of.ID)
	if h.Revision < of.Revision { // about a record that was replaced
		h = provider.Health{Status: provider.StatusUnknown}
	}
	out := api.ProviderHealth{Status: api.ProviderHealthStatus(h.Status), CheckedAt: given(h.CheckedAt), LastSuccessAt: given(h.LastSuccessAt)}
	if h.Status == provider.StatusFailing {
		code, reason := string(h.Code), string(h.Reason)
		out.ErrorCode, out.ErrorReason = &code, &reason
	}
	return out
}

// given returns a time as the API has it: nil for none, in UTC.
func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}
