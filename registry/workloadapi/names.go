// SPDX-License-Identifier: Apache-2.0

package workloadapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/envfile"
	"github.com/lanyard-dev/lanyard/pkg/execfile"
	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Names is where the names stream comes from: every consumer and every secret with a grant in the cluster, then one Change with Synced, then changes as they
// happen, until ctx ends or the channel is closed because the watch broke. A consumer is sent again when the active version of a secret it refers to changes,
// and so is a secret.
type Names func(ctx context.Context) <-chan Change

// Change tells that a consumer, or a secret with grants, is as told, or is gone.
type Change struct {
	OrgID    string
	Ref      ref.Consumer    // zero for a secret
	Consumer *store.Consumer // nil: deleted
	Secret   ref.Secret      // zero for a consumer
	Granted  *store.Secret   // nil: deleted, or without grants in the cluster
	View     NamesView       // at or after the change
	Synced   bool            // everything that existed has been sent; nothing else is set
}

// StoreNames returns the Names of a store, for one cluster.
func StoreNames(s *store.Store, cluster string) Names {
	return func(ctx context.Context) <-chan Change {
		changes := make(chan Change, burst)
		go func() {
			defer close(changes)
			for c := range s.WatchNames(ctx, cluster) {
				select {
				case changes <- Change{c.OrgID, c.Ref, c.Consumer, c.Secret, c.Granted, c.View, c.Synced}:
				case <-ctx.Done():
					return
				}
			}
		}()
		return changes
	}
}

// NamesView is the part of the store's view that says whether a value can be delivered, and what it takes to read it. It opens no value.
type NamesView interface {
	Secret(orgID, id string) (store.Secret, bool)
	Version(orgID, secretID string, number uint64) (store.Version, bool)
	FindProvider(orgID, id string) (store.Provider, error)
}

const (
	// pingInterval leaves a fifth of the promised interval for the way.
	pingInterval = wire.NamesPingInterval * 4 / 5
	// writeTimeout is how long a client may take nothing before it counts as dead: what it would wait for a silent registry itself.
	writeTimeout = 3 * wire.NamesPingInterval
	// streamLifetime is the longest a stream lives before the client has to authenticate anew, give or take a fifth.
	streamLifetime = time.Hour
	// burst is how many changes are sent in one flush.
	burst = 256
)

func (s *server) names(e *exchange) {
	principal, err := s.config.Authenticator.Injector(e.r.Context(), e.token())
	if err != nil {
		e.refuseError(err)
		return
	}
	e.principal = principal
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		e.refuse(wire.Problem{Code: wire.CodeOverloaded, Message: "too many names streams"})
		return
	}
	lifetime := streamLifetime*4/5 + rand.N(streamLifetime*2/5)
	ctx, cancel := context.WithTimeout(e.r.Context(), lifetime)
	defer cancel()
	e.code = codeOK
	e.err = s.follow(ctx, e)
}

// follow writes the stream until the client, the watch or the registry ends it, and returns why if something failed.
func (s *server) follow(ctx context.Context, e *exchange) error {
	out := newStream(e.w)
	if err := out.open(); err != nil {
		return err
	}
	changes := s.config.Names(ctx)
	ping := time.NewTicker(pingInterval)
	defer ping.Stop()
	for {
		select {
		case first, ok := <-changes:
			if !ok {
				if ctx.Err() != nil {
					return nil
				}
				return errors.New("the watch of names broke")
			}
			for _, c := range gather(first, changes) {
				if err := out.write(s.event(c)); err != nil {
					return err
				}
			}
		case <-ping.C:
			if err := out.write(wire.NamesEvent{Type: wire.NamesPing}); err != nil {
				return err
			}
		case <-s.config.Drain:
			return nil
		case <-ctx.Done():
			return nil
		}
		if err := out.flush(); err != nil {
			return err
		}
	}
}

// gather returns first and what has arrived behind it. A closed channel is seen again by the next receive.
func gather(first Change, changes <-chan Change) []Change {
	batch := []Change{first}
	for len(batch) < burst {
		select {
		case c, ok := <-changes:
			if !ok {
				return batch
			}
			batch = append(batch, c)
		default:
			return batch
		}
	}
	return batch
}

// event is what the stream says of a change.
func (s *server) event(c Change) wire.NamesEvent {
	switch {
	case c.Synced:
		return wire.NamesEvent{Type: wire.NamesSynced}
	case c.Secret != (ref.Secret{}) && c.Granted == nil:
		return wire.NamesEvent{Type: wire.NamesDeleteSecret, Secret: &wire.SecretNames{Ref: c.Secret.Path()}}
	case c.Secret != (ref.Secret{}):
		return wire.NamesEvent{Type: wire.NamesPutSecret, Secret: s.secretNames(c)}
	case c.Consumer == nil:
		return wire.NamesEvent{Type: wire.NamesDelete, Consumer: &wire.ConsumerNames{Ref: c.Ref.String()}}
	}
	return wire.NamesEvent{Type: wire.NamesPut, Consumer: s.consumerNames(c)}
}

// consumerNames returns what admission in our cluster needs to know of a consumer.
func (s *server) consumerNames(c Change) *wire.ConsumerNames {
	names := &wire.ConsumerNames{Ref: c.Ref.String(), Envs: make([]wire.EnvName, 0, len(c.Consumer.Envs)), Bindings: []wire.Binding{}, Deliveries: c.Consumer.Deliveries}
	for _, env := range c.Consumer.Envs {
		names.Envs = append(names.Envs, envName(c.View, c.OrgID, env))
		if env.SecretID == "" {
			continue
		}
		secret, _ := c.View.Secret(c.OrgID, env.SecretID)
		if audience := s.audience(c, secret); audience != "" && !slices.Contains(names.ProviderAudiences, audience) {
			names.ProviderAudiences = append(names.ProviderAudiences, audience)
		}
	}
	slices.Sort(names.ProviderAudiences)
	names.Bindings = inCluster(names.Bindings, c.Consumer.Bindings, s.config.Cluster)
	return names
}

// audience returns that of the pod's own token that reading a secret takes; empty if it takes none, or the provider is not there.
func (s *server) audience(c Change, secret store.Secret) string {
	if secret.Remote == nil || s.config.Audience == nil {
		return ""
	}
	provider, err := c.View.FindProvider(c.OrgID, secret.Remote.ProviderID)
	if err != nil {
		return "" // the start of the pod will tell
	}
	return s.config.Audience(provider)
}

// secretNames returns what admission in our cluster needs to know of a secret that pods refer to inline.
func (s *server) secretNames(c Change) *wire.SecretNames {
	names := &wire.SecretNames{Ref: c.Secret.Path(), Grants: inCluster([]wire.Binding{}, c.Granted.Grants, s.config.Cluster), ProviderAudience: s.audience(c, *c.Granted)}
	version, _ := c.View.Version(c.OrgID, c.Granted.ID, c.Granted.ActiveVersion)
	names.NoEnvfile, names.NoExec = version.NoEnvfile, version.NoExec
	return names
}

// inCluster appends those bindings that are of the cluster.
func inCluster(dst []wire.Binding, bindings []store.Binding, cluster string) []wire.Binding {
	for _, b := range bindings {
		if b.Cluster == cluster {
			dst = append(dst, wire.Binding{Namespace: b.Namespace, ServiceAccount: b.ServiceAccount})
		}
	}
	return dst
}

// envName tells of an ENV which deliveries are known not to carry its current value. Of remote and missing secrets nothing is known.
func envName(view NamesView, orgID string, env store.Env) wire.EnvName {
	name := wire.EnvName{Name: env.Name}
	if env.Value != nil {
		if err := envfile.Check(env.Name, []byte(*env.Value)); err != nil {
			_, name.NoEnvfile, _ = strings.Cut(err.Error(), envfile.ErrUnrepresentable.Error()+": ")
		}
		if err := execfile.Check(env.Name, []byte(*env.Value)); err != nil {
			_, name.NoExec, _ = strings.Cut(err.Error(), execfile.ErrUnrepresentable.Error()+": ")
		}
		return name
	}
	number := env.Version
	if number == 0 {
		secret, _ := view.Secret(orgID, env.SecretID)
		number = secret.ActiveVersion
	}
	version, _ := view.Version(orgID, env.SecretID, number)
	name.NoEnvfile, name.NoExec = version.NoEnvfile, version.NoExec
	return name
}

// stream writes lines of JSON to a client that may have died. It replaces the server's write timeout, which bounds whole requests, with one for each
// write; the read timeout ends with the request's head.
type stream struct {
	control *http.ResponseController
	encoder *json.Encoder
	header  http.Header
}

func newStream(w http.ResponseWriter) *stream {
	encoder := json.NewEncoder(io.Writer(w))
	encoder.SetEscapeHTML(false)
	return &stream{control: http.NewResponseController(w), encoder: encoder, header: w.Header()}
}

func (s *stream) open() error {
	s.header.Set("Content-Type", "application/x-ndjson")
	return s.flush()
}

func (s *stream) write(event wire.NamesEvent) error {
	if err := s.extend(); err != nil {
		return err
	}
	return s.encoder.Encode(event)
}

func (s *stream) flush() error {
	if err := s.extend(); err != nil {
		return err
	}
	return s.control.Flush()
}

func (s *stream) extend() error {
	if err := s.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return fmt.Errorf("extending the write timeout: %w", err)
	}
	return nil
}
