// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn/issuer"
	"github.com/lanyard-dev/lanyard/registry/authn/oidc"
	"github.com/lanyard-dev/lanyard/registry/authn/session"
	"github.com/lanyard-dev/lanyard/registry/envelope/keydir"
	"github.com/lanyard-dev/lanyard/registry/signin"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// SignIn says how people sign in. Without an issuer they cannot.
type SignIn struct {
	// PublicURL is where browsers reach the administrators' API: https://<host>, nothing after it. The provider sends them back to its /auth/callback.
	PublicURL  string
	Issuer     string
	ClientID   string
	SecretFile string
	CAFile     string
	Scopes     []string
	// A session lives for SessionLife, and ends when it was not used for SessionIdle.
	SessionLife, SessionIdle time.Duration
	// AllowHTTP accepts issuers that are http on loopback. No flag sets it.
	AllowHTTP bool
}

func (s *SignIn) flags(flags *flag.FlagSet) {
	flags.StringVar(&s.PublicURL, "public-url", "", "`URL` at which browsers reach the administrators' API, https://<host>; needed for -oidc-issuer")
	flags.StringVar(&s.Issuer, "oidc-issuer", "", "`URL` of the OpenID provider people sign in at, exactly as it writes it; without it, nobody can sign in")
	flags.StringVar(&s.ClientID, "oidc-client-id", "", "`id` of this registry as a client of the OpenID provider")
	flags.StringVar(&s.SecretFile, "oidc-client-secret-file", "", "`file` of the client secret")
	flags.StringVar(&s.CAFile, "oidc-ca-file", "", "PEM `file` to verify the OpenID provider against; the system's roots otherwise")
	flags.Func("oidc-scopes", "comma-separated `scopes` to ask for besides openid; profile,email otherwise", list(&s.Scopes))
	flags.DurationVar(&s.SessionLife, "session-lifetime", 12*time.Hour, "how long somebody stays signed in at most")
	flags.DurationVar(&s.SessionIdle, "session-idle", time.Hour, "how long somebody stays signed in without doing anything")
}

func (s *SignIn) validate() error {
	var problems []error
	complain := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if s.PublicURL != "" {
		if u, err := url.Parse(s.PublicURL); err != nil || u.Scheme != "https" && !(s.AllowHTTP && u.Scheme == "http") || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
			complain("-public-url: %q is not https://<host>[:<port>]", s.PublicURL)
		}
	}
	if s.Issuer == "" {
		if s.ClientID != "" || s.SecretFile != "" || s.CAFile != "" {
			complain("-oidc-client-id, -oidc-client-secret-file and -oidc-ca-file need -oidc-issuer")
		}
		return errors.Join(problems...)
	}
	if err := oidc.CheckIssuer(s.Issuer, s.AllowHTTP); err != nil {
		complain("-oidc-issuer: %w", err)
	}
	if s.ClientID == "" || s.PublicURL == "" {
		complain("-oidc-issuer needs -oidc-client-id and -public-url")
	}
	if s.SessionLife < time.Minute || s.SessionLife > store.MaxSessionLife || s.SessionIdle < 2*store.SessionUseGrain || s.SessionIdle > s.SessionLife {
		complain("-session-lifetime must be %s at most, and -session-idle between %s and -session-lifetime", store.MaxSessionLife, 2*store.SessionUseGrain)
	}
	return errors.Join(problems...)
}

// people are what lets people in: the pages they sign in at, and what knows their sessions afterwards.
type people struct {
	provider *oidc.Provider // nil if no person can sign in
	sessions *session.Authenticator
	pages    http.Handler
}

// openPeople connects the pages to the provider, which it does not ask yet.
func (r *server) openPeople(keys *keydir.Keyring, denied *audit.Denials, issuers *issuer.Issuers) (people, error) {
	config := r.config.SignIn
	p := people{sessions: &session.Authenticator{Sessions: r.store}}
	if config.PublicURL != "" {
		if err := p.sessions.Protection.AddTrustedOrigin(config.PublicURL); err != nil {
			return people{}, fmt.Errorf("trusting the public URL: %w", err)
		}
	}
	pages := signin.Config{Store: r.store, Denials: denied, Log: r.log, Registerer: r.metrics}
	if len(r.config.Federation.Issuers) > 0 {
		pages.IDTokens = issuers
	}
	var err error
	if config.Issuer == "" {
		if pages.IDTokens != nil {
			p.pages, err = signin.New(pages)
		}
		return p, err
	}
	p.provider, err = oidc.New(oidc.Config{
		Issuer: config.Issuer, ClientID: config.ClientID, SecretFile: config.SecretFile, CAFile: config.CAFile, Scopes: config.Scopes, AllowHTTP: config.AllowHTTP,
		RedirectURL: strings.TrimSuffix(config.PublicURL, "/") + signin.CallbackPath, Log: r.log,
	})
	if err != nil {
		return people{}, err
	}
	pages.Provider, pages.Issuer, pages.PublicURL = p.provider, config.Issuer, config.PublicURL
	pages.Sessions, pages.Derive, pages.Life, pages.Idle = p.sessions, keys.Derive, config.SessionLife, config.SessionIdle
	p.pages, err = signin.New(pages)
	return p, err
}
