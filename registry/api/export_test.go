// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/netip"
	"time"

	"github.com/gin-gonic/gin"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/ratelimit"
)

// For the tests of package api_test.
var (
	LoadDocument = loadDocument
	ErrorTable   = errorTable
	ParseTags    = func(text string) (list []string, any, weak bool, err error) {
		t, err := parseTags("If-Match", text)
		return t.list, t.any, t.weak, err
	}
)

// Routes returns the routes of the engine New makes.
func Routes(config Config) (gin.RoutesInfo, error) {
	s, err := newServer(config)
	if err != nil {
		return nil, err
	}
	return s.engine().Routes(), nil
}

// MaxSources and NewLimiter give access to the rate limit.
const MaxSources = ratelimit.MaxSources

func NewLimiter(perSecond float64, burst int) func(source string, now time.Time) bool {
	l := ratelimit.New[netip.Prefix](perSecond, burst)
	return func(source string, now time.Time) bool { return l.Allow(ratelimit.Network(source), now) }
}

// OperationID returns the id of an operation.
func OperationID(o *operation) string { return o.id }

// RowError returns the error of a row of the table.
func RowError(row struct {
	err    error
	code   contract.Code
	detail string
	report bool
}) error {
	return row.err
}

// TakesKey reports whether an operation takes an Idempotency-Key.
func TakesKey(o *operation) bool { return o.once }

// Generate makes a value.
var Generate = generate

// NewCallerLimit returns the limit of callers.
func NewCallerLimit(perSecond float64, burst int) func(principal string) bool {
	l := ratelimit.New[string](perSecond, burst)
	return func(principal string) bool { return l.Allow(principal, time.Unix(1000, 0)) }
}
