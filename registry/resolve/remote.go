// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Fetcher reads the remote secrets of one request. Fetch returns the value of a secret that has a reference, as it is at the provider at some moment after the call began; or,
// if its organization allows that for the provider and the provider does not answer, as it was before. It bounds its own time, returns when ctx ends, and may be called concurrently. Its errors are [*FetchError]; any other is taken for an
// unavailable provider.
//
// End is called once, after the last Fetch has returned: delivered says whether the values may have reached the pod. What was made for it alone is given back if they did not. It
// does not block.
type Fetcher interface {
	Fetch(ctx context.Context, secret store.Secret) (Fetched, error)
	End(delivered bool)
}

// Fetched is a value and how it was got.
type Fetched struct {
	Value  redact.Value // the caller's, who wipes it
	Leased bool         // the provider made it for this request alone, and may take it back
	// LastKnownGood is when a value was read that is not fresh; zero for one that was read for this request.
	LastKnownGood time.Time
}

// FetchError is why a provider gave no value.
type FetchError struct {
	Code     wire.Code // one of the provider codes, or CodeUnrepresentable
	Provider string    // the provider's name, if it was found
	Reason   string    // narrows the code; from a closed set
	Message  string    // for people, told to the pod; the code's own meaning if empty. As Err, it holds nothing of a value
	Err      error     // the cause, for the log only: it must hold nothing of a value, credential or answer's body
}

func (e *FetchError) Error() string {
	return fmt.Sprintf("provider %q: %s: %v", e.Provider, e.Code, e.Err)
}
func (e *FetchError) Unwrap() error { return e.Err }

const noProviders = "this registry has no secret providers"

// open opens every secret of the plan: local ones here, remote ones at once within the Resolver's bound. What fails is noted on the secret; the error
// returned concerns the request as a whole.
func (r *Resolver) open(ctx context.Context, call Call, view View, p *plan) error {
	var remote []*secret
	for _, s := range p.secrets {
		switch {
		case s.code != "":
		case s.meta.Storage == store.StorageRemote:
			remote = append(remote, s)
		default:
			if err := s.openLocal(view); err != nil {
				return err
			}
		}
	}
	if len(remote) == 0 {
		return nil
	}
	if r.config.Fetch == nil {
		for _, s := range remote {
			s.fail(wire.CodeProviderUnavailable, noProviders, nil)
		}
		return nil
	}
	fetcher, work := r.config.Fetch(call), make(chan *secret)
	p.end = fetcher.End
	var workers sync.WaitGroup
	for range min(r.config.Fetches, len(remote)) {
		workers.Go(func() {
			for s := range work {
				s.fetch(ctx, fetcher)
			}
		})
	}
	for _, s := range remote {
		work <- s
	}
	close(work)
	workers.Wait()
	return nil
}

// fetch fetches a remote secret. A fetcher that panics costs its own request only: net/http does not guard goroutines of handlers.
func (s *secret) fetch(ctx context.Context, f Fetcher) {
	defer func() {
		if p := recover(); p != nil {
			s.failRemote(&FetchError{Code: wire.CodeProviderUnavailable, Err: fmt.Errorf("panic of type %T", p)})
		}
	}()
	if !s.isReadable() {
		return
	}
	fetched, err := f.Fetch(ctx, s.meta)
	if err != nil {
		failed, ok := errors.AsType[*FetchError](err)
		if !ok || failed.Code != wire.CodeUnrepresentable && !strings.HasPrefix(string(failed.Code), "provider_") {
			failed = &FetchError{Code: wire.CodeProviderUnavailable, Err: err}
		}
		s.failRemote(failed)
		return
	}
	s.value, s.leased, s.lastGood = fetched.Value, fetched.Leased, fetched.LastKnownGood
	if len(s.value.Reveal()) > wire.MaxValueBytes {
		s.failRemote(&FetchError{Code: wire.CodeProviderInvalid, Err: errors.New("the value exceeds the limit of a value")})
	}
}

// isReadable reports whether there is something to ask a provider for, and notes it if there is not.
func (s *secret) isReadable() bool {
	switch {
	case s.meta.Remote == nil:
		s.failRemote(&FetchError{Code: wire.CodeProviderInvalid, Err: errors.New("a remote secret without a reference")})
	case s.pinned != 0:
		s.failRemote(&FetchError{Code: wire.CodeProviderInvalid, Err: errors.New("a remote secret has no version of ours to pin")})
	default:
		return true
	}
	return false
}

func (s *secret) failRemote(err *FetchError) {
	s.provider, s.reason = err.Provider, err.Reason
	message := cmp.Or(err.Message, err.Code.Info().Meaning)
	if err.Reason != "" {
		message = err.Reason + ": " + message
	}
	s.fail(err.Code, message, fmt.Errorf("fetching remote secret %s: %w", s.id, err))
}
