// SPDX-License-Identifier: Apache-2.0

// Package issuer verifies ID tokens with the keys that their issuers publish.
//
// Issuers are written by owners of organizations, whom the operator of the installation trusts only so far. So the operator says which there may be; an issuer that is not named one by one may
// not be inside the network; and whatever an issuer answers is bounded in time, size and how often it is asked. Keys are kept for [keysLife]: an issuer that answers slowly, or
// not at all, is asked by few requests and fails no other issuer's.
package issuer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/registry/authn/idtoken"
	"github.com/lanyard-dev/lanyard/registry/authn/oidc"
)

// Any, as an issuer of [Config], allows every issuer that is outside.
const Any = "*"

const (
	// keysLife is how long a key that its issuer withdrew may go on being accepted.
	keysLife = time.Hour
	// failureLife is how long nobody asks again an issuer that could not be read.
	failureLife = 5 * time.Second
	// maxIssuers bounds how many issuers' keys are kept.
	maxIssuers = 256
	// maxAtOnce bounds how many tokens of one issuer are verified at a time: its answers may be slow, and its keys many or large.
	maxAtOnce = 8
	// queueWait is how long a token waits for its turn.
	queueWait = 2 * time.Second
	// askRate and askBurst bound what one issuer is asked: a token with an unknown key id makes the registry look for new keys.
	askRate  = 0.2
	askBurst = 6
	// maxTime bounds the verification of one token.
	maxTime = 10 * time.Second
)

// Config is the operator's policy.
type Config struct {
	// Issuers are those that organizations may trust, exactly as they write themselves, or [Any]. None means none. The hosts of those that are named may be anywhere, also inside.
	Issuers []string
	// CAFile, if not empty, has certificates that named issuers are verified against besides the system's.
	CAFile string
}

// Issuers is safe for concurrent use. The zero Issuers trusts nobody.
type Issuers struct {
	named []string
	any   bool
	roots *x509.CertPool // nil: the system's

	mu    sync.Mutex
	known map[string]*issuer
}

// New checks a configuration. It asks nobody anything.
func New(config Config) (*Issuers, error) {
	s := &Issuers{known: make(map[string]*issuer)}
	for _, name := range config.Issuers {
		if name == Any {
			s.any = true
			continue
		}
		if err := oidc.CheckIssuer(name, false); err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		s.named = append(s.named, name)
	}
	if config.CAFile != "" {
		text, err := os.ReadFile(config.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading the issuers' CA file: %w", err)
		}
		if s.roots, err = x509.SystemCertPool(); err != nil {
			return nil, fmt.Errorf("reading the system's roots: %w", err)
		}
		if !s.roots.AppendCertsFromPEM(text) {
			return nil, errors.New("the issuers' CA file holds no certificate")
		}
	}
	return s, nil
}

// private are networks that are inside, for most: there, an issuer must be named by the operator.
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fc00::/7"),
}

// CheckIssuer returns nil if organizations may trust an issuer, else why not.
func (s *Issuers) CheckIssuer(name string) error {
	switch {
	case slices.Contains(s.named, name):
		return nil
	case !s.any && len(s.named) == 0:
		return errors.New("this installation trusts no issuer; its operator names those organizations may trust (-federation-issuers)")
	case !s.any:
		return errors.New("the operator of the installation does not let organizations trust this issuer (-federation-issuers)")
	}
	if err := oidc.CheckIssuer(name, false); err != nil {
		return err
	}
	if _, err := (&egress.Guard{Deny: private}).ParseAddress(name); err != nil {
		return fmt.Errorf("the operator of the installation has not named this issuer: %w", err)
	}
	return nil
}

// Verify returns what stands in a token that an issuer signed for an audience and that is good now. Errors are *[idtoken.Error]s; one with [idtoken.Unreachable] says nothing of the
// token. What can be told without the issuer's keys is told first, so that nobody makes the registry ask for keys by a token that could not be accepted.
func (s *Issuers) Verify(ctx context.Context, name, audience, raw string) (idtoken.Token, error) {
	if err := s.CheckIssuer(name); err != nil {
		return idtoken.Token{}, idtoken.Refuse(idtoken.NotAllowed, nil)
	}
	token, err := idtoken.Read(raw, name, audience, time.Now())
	if err != nil {
		return idtoken.Token{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	if err := s.issuer(name).verify(ctx, raw); err != nil {
		return idtoken.Token{}, err
	}
	return token, nil
}

// issuer returns what is known of an issuer. Of too many, the one that was asked for longest ago is forgotten.
func (s *Issuers) issuer(name string) *issuer {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.known[name]
	if !ok {
		if len(s.known) >= maxIssuers {
			var oldest *issuer
			for _, other := range s.known {
				if oldest == nil || other.used.Before(oldest.used) {
					oldest = other
				}
			}
			delete(s.known, oldest.name)
			oldest.client.CloseIdleConnections()
		}
		i = newIssuer(name, s.client(name))
		s.known[name] = i
	}
	i.used = time.Now()
	return i
}

// client returns an HTTP client that reaches an issuer and what it refers to, outside unless it is named.
func (s *Issuers) client(name string) *http.Client {
	guard, settings := &egress.Guard{Deny: private}, &tls.Config{MinVersion: tls.VersionTLS12}
	if u, err := url.Parse(name); err == nil && slices.Contains(s.named, name) {
		guard.AllowHosts, settings.RootCAs = []string{u.Hostname()}, s.roots
	}
	return oidc.Bounded(&budget{guard.Transport(settings), rate.NewLimiter(askRate, askBurst)})
}
