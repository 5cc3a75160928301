// SPDX-License-Identifier: Apache-2.0

// Package oidc lets people sign in at an OpenID provider: authorization code with PKCE, as a client with a secret.
//
// It promises that an [Identity] was signed by a key the provider publishes, with an algorithm that has a public key; for this client and nobody else; for this very
// sign-in, by its nonce; and recently. Texts of errors hold no token, no code and nothing the provider wrote but its error code.
package oidc

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Errors.
var (
	// ErrNotReady means that the provider's configuration could not be read yet. [Provider.Run] goes on trying.
	ErrNotReady = errors.New("OpenID provider not reached yet")
	// ErrExchange means that the provider did not accept a code, or did not answer.
	ErrExchange = errors.New("OpenID provider gave no token for the code")
	// ErrToken means that what the provider gave is not a token to believe.
	ErrToken = errors.New("ID token is not valid")
)

// Config says who the provider is and who this client is there.
type Config struct {
	Issuer       string // exactly as the provider writes it; https
	ClientID     string
	SecretFile   string // the client secret; read at each use, so that replacing it works at once
	CAFile       string // PEM to verify the provider against; empty: the system's roots
	RedirectURL  string
	Scopes       []string      // besides openid; if nil, profile and email
	Log          *slog.Logger  // if nil, nothing is logged
	AllowHTTP    bool          // also http issuers on loopback; for tests and `dev`
	RetryPause   time.Duration // between attempts to discover; 5 s if 0
	RetryMaximum time.Duration // the pause doubles up to this; 1 minute if 0
}

// Provider is safe for concurrent use.
type Provider struct {
	config Config
	client *http.Client
	log    *slog.Logger
	ready  atomic.Pointer[discovered]
	status atomic.Pointer[error] // why it is not ready
}

type discovered struct {
	provider *oidc.Provider
	endpoint oauth2.Endpoint
	verifier *oidc.IDTokenVerifier
}

// algorithms are those that verify with a public key. With HS256 the client secret, or a public key taken for a secret, would make tokens; "none" needs nothing.
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}

// New checks a configuration. It asks the provider nothing: that is for [Provider.Run].
func New(config Config) (*Provider, error) {
	if err := CheckIssuer(config.Issuer, config.AllowHTTP); err != nil {
		return nil, err
	}
	if config.ClientID == "" || config.RedirectURL == "" {
		return nil, errors.New("OpenID provider needs a client id and a redirect URL")
	}
	if config.Scopes == nil {
		config.Scopes = []string{"profile", "email"}
	}
	client, err := Client(config.CAFile)
	if err != nil {
		return nil, err
	}
	p := &Provider{config: config, client: client, log: config.Log}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.setStatus(ErrNotReady)
	return p, nil
}

// CheckIssuer reports why a text cannot be an issuer.
func CheckIssuer(issuer string, allowHTTP bool) error {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Contains(issuer, "#") {
		return errors.New("the issuer is not https://<host>[/<path>]")
	}
	loopback := u.Hostname() == "127.0.0.1" || u.Hostname() == "::1" || u.Hostname() == "localhost"
	if u.Scheme != "https" && !(u.Scheme == "http" && allowHTTP && loopback) {
		return errors.New("the issuer must be https: whoever could answer in its place could sign in as anybody")
	}
	return nil
}

// maxAnswer bounds what is read of one answer of a provider: configurations and key sets have a few KiB.
const maxAnswer = 1 << 20

// Client returns an HTTP client for a provider: bounded in time and size, and never redirected.
func Client(caFile string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if caFile != "" {
		text, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("reading the OpenID provider's CA file: %w", err)
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(text) {
			return nil, errors.New("the OpenID provider's CA file holds no certificate")
		}
	}
	return Bounded(transport), nil
}

// Bounded returns an HTTP client over a transport that is bounded in time and size, and never redirected.
func Bounded(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     bounded{transport},
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded cuts answers off.
type bounded struct{ http.RoundTripper }

// CloseIdleConnections is what http.Client looks for.
func (b bounded) CloseIdleConnections() {
	if inner, ok := b.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		inner.CloseIdleConnections()
	}
}

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	}
	return resp, err
}

func (p *Provider) setStatus(err error) { p.status.Store(&err) }

// Ready returns nil, or an error wrapping [ErrNotReady] that says why people cannot sign in.
func (p *Provider) Ready() error { return *p.status.Load() }

// Run reads the provider's configuration, again and again until it succeeds, and returns nil then or when ctx ends.
func (p *Provider) Run(ctx context.Context) error {
	pause, most := cmp.Or(p.config.RetryPause, 5*time.Second), cmp.Or(p.config.RetryMaximum, time.Minute)
	for {
		err := p.discover(ctx)
		if err == nil {
			p.log.InfoContext(ctx, "people can sign in", "issuer", p.config.Issuer)
			return nil
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to stop
		}
		if said := p.Ready(); said.Error() != err.Error() {
			p.log.WarnContext(ctx, "people cannot sign in yet", "err", err)
		}
		p.setStatus(err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, most)
	}
}

func (p *Provider) discover(ctx context.Context) error {
	found, err := Discover(ctx, p.client, p.config.Issuer)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotReady, err)
	}
	endpoint := found.Endpoint()
	for _, address := range []string{endpoint.AuthURL, endpoint.TokenURL, found.UserInfoEndpoint()} {
		if address == "" && address == found.UserInfoEndpoint() {
			continue // not every provider has one
		}
		if err := p.checkEndpoint(address); err != nil {
			return fmt.Errorf("%w: %w", ErrNotReady, err)
		}
	}
	p.ready.Store(&discovered{found, endpoint, found.Verifier(&oidc.Config{ClientID: p.config.ClientID, SupportedSigningAlgs: algorithms})})
	p.setStatus(nil)
	return nil
}

// Discover reads the configuration of an issuer. Its errors hold nothing the issuer wrote, except the name it gave itself.
func Discover(ctx context.Context, client *http.Client, issuer string) (*oidc.Provider, error) {
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, client), issuer)
	var mismatch *oidc.IssuerMismatchError
	var network *url.Error
	switch {
	case err == nil:
		return found, nil
	case errors.As(err, &mismatch):
		return nil, fmt.Errorf("the provider calls itself %q, not %q: the issuer must be written the same", mismatch.Discovered, mismatch.Provided)
	case errors.As(err, &network):
		return nil, fmt.Errorf("reading its configuration: %w", network)
	}
	return nil, errors.New("reading its configuration: there is none at /.well-known/openid-configuration, or it is not one")
}

// checkEndpoint refuses addresses a code or a secret must not be sent to.
func (p *Provider) checkEndpoint(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && !(p.config.AllowHTTP && u.Scheme == "http") {
		return errors.New("its configuration names an endpoint that is not https")
	}
	return nil
}

// oauth returns the OAuth client of what was discovered.
func (p *Provider) oauth() (*discovered, oauth2.Config, error) {
	found := p.ready.Load()
	if found == nil {
		return nil, oauth2.Config{}, p.Ready()
	}
	config := oauth2.Config{
		ClientID: p.config.ClientID, Endpoint: found.endpoint, RedirectURL: p.config.RedirectURL, Scopes: append([]string{oidc.ScopeOpenID}, p.config.Scopes...),
	}
	if p.config.SecretFile != "" {
		secret, err := os.ReadFile(p.config.SecretFile)
		if err != nil {
			return nil, oauth2.Config{}, fmt.Errorf("%w: reading the client secret: %w", ErrNotReady, err)
		}
		config.ClientSecret = strings.TrimSpace(string(secret))
	}
	return found, config, nil
}

// Begun is a sign-in that waits for its answer. It belongs to one browser and is used once.
type Begun struct {
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"` // of PKCE
}

// Begin returns a new sign-in and where to send the browser, or [ErrNotReady].
func (p *Provider) Begin() (Begun, string, error) {
	_, config, err := p.oauth()
	if err != nil {
		return Begun{}, "", err
	}
	b := Begun{State: oauth2.GenerateVerifier(), Nonce: oauth2.GenerateVerifier(), Verifier: oauth2.GenerateVerifier()} // 256 random bits each
	return b, config.AuthCodeURL(b.State, oidc.Nonce(b.Nonce), oauth2.S256ChallengeOption(b.Verifier)), nil
}

// Identity is who signed in.
type Identity struct {
	Issuer, Subject string
	Email           string // empty unless the provider verified it
	Name            string
}

// Principal is the form members are listed in: user:<issuer>#<subject>. No issuer has a '#', so that nobody is taken for somebody of another provider. What cannot stand
// in a principal is written as in URLs.
func (i Identity) Principal() string {
	var b strings.Builder
	b.WriteString("user:" + i.Issuer + "#")
	for _, c := range []byte(i.Subject) {
		if c <= ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Finish redeems the code the browser came back with. It returns an error wrapping [ErrNotReady], [ErrExchange] or [ErrToken].
func (p *Provider) Finish(ctx context.Context, b Begun, code string) (Identity, error) {
	found, config, err := p.oauth()
	if err != nil {
		return Identity{}, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	token, err := config.Exchange(ctx, code, oauth2.VerifierOption(b.Verifier))
	if err != nil {
		return Identity{}, exchangeError(err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return Identity{}, fmt.Errorf("%w: there is none", ErrToken)
	}
	id, err := found.verifier.Verify(ctx, raw)
	if err != nil {
		return Identity{}, tokenError(err)
	}
	if id.AccessTokenHash != "" && id.VerifyAccessToken(token.AccessToken) != nil {
		return Identity{}, fmt.Errorf("%w: it came with another access token", ErrToken)
	}
	if id.Nonce != b.Nonce {
		return Identity{}, fmt.Errorf("%w: it belongs to another sign-in", ErrToken)
	}
	who, err := p.identity(id)
	if err == nil && who.Email == "" {
		p.complete(ctx, found.provider, token, &who)
	}
	return who, err
}

// complete asks for the claims that the standard lets a provider keep out of ID tokens. Who somebody is never depends on the answer.
func (p *Provider) complete(ctx context.Context, provider *oidc.Provider, token *oauth2.Token, who *Identity) {
	if provider.UserInfoEndpoint() == "" {
		return
	}
	info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil { // its text may hold the whole answer
		p.log.WarnContext(ctx, "the OpenID provider does not tell e-mail addresses")
		return
	}
	var claims struct {
		Name string `json:"name"`
	}
	if info.Subject != who.Subject || info.Claims(&claims) != nil {
		return
	}
	who.Name = cmp.Or(who.Name, claims.Name)
	if info.EmailVerified {
		who.Email = info.Email
	}
}

// maxAge is how long ago an ID token may have been made: it was asked for a moment ago, and clocks differ.
const maxAge = 10 * time.Minute

func (p *Provider) identity(id *oidc.IDToken) (Identity, error) {
	var claims struct {
		AuthorizedParty string `json:"azp"`
		Email           string `json:"email"`
		EmailVerified   any    `json:"email_verified"`
		Name            string `json:"name"`
	}
	if err := id.Claims(&claims); err != nil {
		return Identity{}, fmt.Errorf("%w: its claims are not of the standard's types", ErrToken)
	}
	switch {
	case id.Issuer != p.config.Issuer: // go-oidc lets one large provider leave the https:// out
		return Identity{}, fmt.Errorf("%w: it is of another issuer", ErrToken)
	case claims.AuthorizedParty != "" && claims.AuthorizedParty != p.config.ClientID, len(id.Audience) > 1 && claims.AuthorizedParty == "":
		return Identity{}, fmt.Errorf("%w: it was made for another client", ErrToken)
	case time.Since(id.IssuedAt).Abs() > maxAge:
		return Identity{}, fmt.Errorf("%w: it was not made just now", ErrToken)
	case id.Subject == "" || len(id.Subject) > 255:
		return Identity{}, fmt.Errorf("%w: its subject is empty or too long", ErrToken)
	}
	who := Identity{Issuer: id.Issuer, Subject: id.Subject, Name: claims.Name}
	// Some providers write "true". Everything else, and no word of it, is not verified.
	if claims.EmailVerified == true || claims.EmailVerified == "true" {
		who.Email = claims.Email
	}
	return who, nil
}

// exchangeError keeps of an error what may be shown: its text may hold the whole answer.
func exchangeError(err error) error {
	var refused *oauth2.RetrieveError
	var network *url.Error
	switch {
	case errors.As(err, &refused) && slices.Contains(codes, refused.ErrorCode):
		return fmt.Errorf("%w: %s", ErrExchange, refused.ErrorCode)
	case errors.As(err, &refused):
		return fmt.Errorf("%w: status %d", ErrExchange, refused.Response.StatusCode)
	case errors.As(err, &network):
		return fmt.Errorf("%w: %w", ErrExchange, network)
	}
	return fmt.Errorf("%w: its answer is not one", ErrExchange)
}

// codes are the errors a token endpoint may give (RFC 6749, section 5.2).
var codes = []string{"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}

// tokenError does not use the texts of go-oidc, which quote claims.
func tokenError(err error) error {
	var expired *oidc.TokenExpiredError
	if errors.As(err, &expired) {
		return fmt.Errorf("%w: it has expired", ErrToken)
	}
	return fmt.Errorf("%w: signature, issuer or audience is not what it must be", ErrToken)
}
