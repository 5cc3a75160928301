// SPDX-License-Identifier: Apache-2.0

// Package api serves the administrators' API, as the document in pkg/api describes it.
//
// Every request passes the same doors in the same order: an id, the size of the body, the rate of its source, who it is, whether that caller may use the
// route, whether body and parameters are what the document says. Handlers come after all of them and speak to the store alone. Nothing here can read a value.
package api

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	. "github.com/lanyard-dev/lanyard/pkg/api" //nolint:staticcheck // the generated server names these types without a package
)

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config server.oapi.yaml ../../pkg/api/openapi.yaml

// Config is what the API works with.
type Config struct {
	Store         Store
	Authenticator Authenticator
	// Cluster is the cluster a binding means that names none.
	Cluster    string
	Log        *slog.Logger          // nil discards
	Registerer prometheus.Registerer // nil exports no metrics
	// Rate is how many requests a second one source address may make on average, in bursts of ten times as many; 50 if 0. It counts before anybody is
	// authenticated.
	Rate float64
}

// New returns the handler of the administrators' listener.
func New(config Config) (http.Handler, error) {
	if config.Store == nil || config.Authenticator == nil {
		return nil, errors.New("creating the administrators' API: Store and Authenticator are required")
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	config.Cluster = cmp.Or(config.Cluster, "default")
	engine, err := newEngine(config)
	if err != nil {
		return nil, err
	}
	return engine, nil
}

func newEngine(config Config) (*gin.Engine, error) {
	document, err := openapi3.NewLoader().LoadFromData(Document)
	if err != nil {
		return nil, err
	}
	validated, err := validator(document)
	if err != nil {
		return nil, err
	}
	gin.SetMode(gin.ReleaseMode) // else Gin prints routes and warnings to stdout, where the audit log goes
	engine := gin.New()
	engine.RedirectTrailingSlash = false
	engine.HandleMethodNotAllowed = true
	engine.ContextWithFallback = true // handlers get the request's context
	if err := engine.SetTrustedProxies(nil); err != nil {
		return nil, err
	}
	observe := newObserver(config.Log, config.Registerer)
	limit := newLimiter(cmp.Or(config.Rate, 50), time.Now)
	engine.Use(observe.request, headers, recovered, bounded, limit.source, authenticated(config.Authenticator), authorized, readable, validated)
	engine.NoRoute(func(c *gin.Context) { refuse(c, &refusal{kind: kindNotFound, detail: "there is no such path"}) })
	engine.NoMethod(func(c *gin.Context) {
		refuse(c, &refusal{kind: kindMethodNotAllowed, detail: "see the OpenAPI document at /openapi.yaml"})
	})
	engine.GET("/openapi.yaml", func(c *gin.Context) { c.Data(http.StatusOK, "application/yaml", Document) })
	strict := NewStrictHandlerWithOptions(&handlers{config}, nil, StrictGinServerOptions{
		RequestErrorHandlerFunc: func(c *gin.Context, _ error) {
			refuse(c, &refusal{kind: kindInvalidRequest, detail: "the body is not what the OpenAPI document describes"})
		},
		HandlerErrorFunc:         refuse,
		ResponseErrorHandlerFunc: func(c *gin.Context, err error) { _ = c.Error(err) },
	})
	RegisterHandlersWithOptions(engine, strict, GinServerOptions{
		ErrorHandler: func(c *gin.Context, err error, _ int) {
			_ = c.Error(err)
			refuse(c, &refusal{kind: kindValidation, detail: "a parameter is not what the OpenAPI document describes"})
		},
	})
	return engine, nil
}

// headers are on every answer: it is for the caller alone, and for no browser to interpret.
func headers(c *gin.Context) {
	c.Header("Cache-Control", "no-store")
	c.Header("X-Content-Type-Options", "nosniff")
	c.Header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	c.Header("Referrer-Policy", "no-referrer")
}

// handlers implements the operations of the document.
type handlers struct{ config Config }

var _ StrictServerInterface = (*handlers)(nil)
