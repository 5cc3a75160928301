// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/ratelimit"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Config says what the API works with. Store, Authenticator, Checker, Explainer and Issuers are required and borrowed.
type Config struct {
	Store         Store
	Authenticator Authenticator
	Checker       Checker
	Explainer     Explainer
	Issuers       Issuers // whose ID tokens organizations may trust
	Stopper       Stopper // if nil, pods are in clusters that cannot be reached
	// Cluster is the cluster a binding means that names none; "default" if empty.
	Cluster    string
	Log        *slog.Logger          // if nil, nothing is logged
	Registerer prometheus.Registerer // if nil, no metrics are exported
	// Rate and Burst limit the requests of one source address, and of one caller; 0 means 100 a second, and 400 at once.
	Rate  float64
	Burst int
	// RequireIfMatch refuses changes without an ETag.
	RequireIfMatch bool
	Denials        Denials // hears of every refusal of a known caller; if nil, nobody does
	// BreakGlass accepts the bootstrap token also after it has ended.
	BreakGlass bool
	// SignIn serves /auth/…, after the request id, the log, the rate limit and the body cap; it authenticates on its own. If nil, nobody can sign in.
	SignIn http.Handler
}

// server implements the generated ginapi.StrictServerInterface.
type server struct {
	store          Store
	authenticator  Authenticator
	checker        Checker
	explainer      Explainer
	stopper        Stopper
	log            *slog.Logger
	cluster        string
	duration       *prometheus.HistogramVec
	limiter        *ratelimit.Limiter[netip.Prefix]
	callers        *ratelimit.Limiter[string] // by principal
	requireIfMatch bool
	denials        Denials
	breakGlass     bool
	operations     operations
	signIn         http.Handler
	issuers        Issuers
	document       []byte        // JSON
	waiters        chan struct{} // holds one of each request that waits for an audit event
}

var _ ginapi.StrictServerInterface = (*server)(nil)

// New returns the handler of the API: /api/v1/…, /openapi.json and, with Config.SignIn, /auth/…. What else is asked for is a 404 problem.
func New(config Config) (http.Handler, error) {
	s, err := newServer(config)
	if err != nil {
		return nil, err
	}
	return s.engine(), nil
}

func newServer(config Config) (*server, error) {
	if config.Store == nil || config.Authenticator == nil || config.Checker == nil || config.Explainer == nil || config.Issuers == nil {
		return nil, errors.New("API needs a store, an authenticator, a checker, an explainer and issuers")
	}
	doc, ops, err := loadDocument()
	if err != nil {
		return nil, err
	}
	document, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encoding OpenAPI document: %w", err)
	}
	s := &server{
		store: config.Store, authenticator: config.Authenticator, checker: config.Checker, explainer: config.Explainer, issuers: config.Issuers, stopper: config.Stopper, log: config.Log,
		cluster: cmp.Or(config.Cluster, "default"), requireIfMatch: config.RequireIfMatch, denials: config.Denials, breakGlass: config.BreakGlass, operations: ops, signIn: config.SignIn, document: document, duration: newDuration(),
		waiters: make(chan struct{}, maxWaiters),
	}
	if config.Registerer != nil {
		if err := config.Registerer.Register(s.duration); err != nil {
			return nil, fmt.Errorf("registering metrics of the API: %w", err)
		}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.limiter = ratelimit.New[netip.Prefix](cmp.Or(config.Rate, defaultRate), cmp.Or(config.Burst, defaultBurst))
	s.callers = ratelimit.New[string](cmp.Or(config.Rate, defaultRate), cmp.Or(config.Burst, defaultBurst))
	return s, nil
}

func (s *server) engine() *gin.Engine {
	gin.SetMode(gin.ReleaseMode) // Gin's debug mode prints to stdout
	e := gin.New()
	e.HandleMethodNotAllowed = true
	e.RedirectTrailingSlash, e.RedirectFixedPath = false, false
	e.ForwardedByClientIP = false
	_ = e.SetTrustedProxies(nil) // cannot fail; Gin would believe everybody's X-Forwarded-For

	e.Use(s.begin, headers, s.limitRate, s.limitBody)
	e.NoRoute(func(c *gin.Context) { s.fail(c, contract.CodeNotFound) })
	e.NoMethod(func(c *gin.Context) { s.fail(c, contract.CodeMethodNotAllowed) })
	if s.signIn != nil {
		e.Any(signInPath, gin.WrapH(s.signIn))
	}
	operations := e.Group("", s.authenticate, s.limitCaller, s.authorize, s.validate)
	operations.GET("/openapi.json", func(c *gin.Context) { c.Data(http.StatusOK, "application/json", s.document) })
	operations.GET("/openapi.yaml", func(c *gin.Context) { c.Data(http.StatusOK, "application/yaml", contract.Document) })
	ginapi.RegisterHandlersWithOptions(operations, ginapi.NewStrictHandlerWithOptions(s, nil, ginapi.StrictGinServerOptions{
		RequestErrorHandlerFunc:  func(c *gin.Context, err error) { s.refuse(c, undecodable(err)) },
		HandlerErrorFunc:         s.refuse,
		ResponseErrorHandlerFunc: s.refuse,
	}), ginapi.GinServerOptions{ErrorHandler: func(c *gin.Context, err error, _ int) { s.refuse(c, undecodable(err)) }})
	return e
}

// signInPath is Gin's pattern of the pages for signing in, which are no operations of the document.
const signInPath = "/auth/*page"

// undecodable is what passed validation and still does not fit the generated types: 1.0 for a whole number. The text of such an error may quote it.
func undecodable(error) error {
	return field("", "type", "a number is not written as a whole number")
}

// begun returns what a handler works with. The context is the request's, not Gin's, which is reused for another request while somebody may still look at it.
func begun(ctx context.Context) (context.Context, *call) {
	if c, ok := ctx.(*gin.Context); ok {
		ctx = c.Request.Context()
	}
	return ctx, callOf(ctx)
}

// org resolves an organization. Every id and name that arrives is looked up within the organization it returns.
// It is the one the caller was admitted to, even if another one has its slug by now.
func (s *server) org(ctx context.Context, slugOrID string) (store.Organization, error) {
	if admitted := callOf(ctx).orgID; admitted != "" {
		slugOrID = admitted
	}
	return s.store.Organization(ctx, slugOrID)
}
