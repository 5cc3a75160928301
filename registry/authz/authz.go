// SPDX-License-Identifier: Apache-2.0

// Package authz says who may do what with the administrators' API. It is a table: no I/O, no clock, no state.
//
// Pods and the injector are not callers here. What a pod may claim is decided by bindings, in package resolve.
package authz

// Caller is a class of callers.
type Caller string

// The classes.
const (
	Anonymous Caller = "anonymous" // no credentials, or none that are accepted
	Admin     Caller = "admin"     // manages the installation: the bootstrap token
)

// Decision is the answer to a request.
type Decision int

// The decisions. The zero Decision denies.
const (
	Unauthenticated Decision = iota // say who you are
	Forbidden                       // you may not
	Allowed
)

// Route is a method and the pattern of a path, as the router has them: "GET /api/v1/me".
type Route string

// rules tell, for every route, who may call it. A route that is not here is denied to everybody.
var rules = map[Route]map[Caller]Decision{
	"GET /openapi.yaml": everybody,
	"GET /api/v1/me":    admins,

	"GET /api/v1/organizations":                            admins,
	"POST /api/v1/organizations":                           admins,
	"GET /api/v1/organizations/:organization":              admins,
	"PATCH /api/v1/organizations/:organization":            admins,
	"DELETE /api/v1/organizations/:organization":           admins,
	"GET /api/v1/organizations/:organization/audit-events": admins,

	"GET /api/v1/organizations/:organization/secrets":                                     admins,
	"POST /api/v1/organizations/:organization/secrets":                                    admins,
	"GET /api/v1/organizations/:organization/secrets/:secret":                             admins,
	"PATCH /api/v1/organizations/:organization/secrets/:secret":                           admins,
	"DELETE /api/v1/organizations/:organization/secrets/:secret":                          admins,
	"POST /api/v1/organizations/:organization/secrets/:secret/undelete":                   admins,
	"GET /api/v1/organizations/:organization/secrets/:secret/references":                  admins,
	"GET /api/v1/organizations/:organization/secrets/:secret/versions":                    admins,
	"POST /api/v1/organizations/:organization/secrets/:secret/versions":                   admins,
	"POST /api/v1/organizations/:organization/secrets/:secret/versions/:version/activate": admins,
	"POST /api/v1/organizations/:organization/secrets/:secret/versions/:version/destroy":  admins,

	"GET /api/v1/organizations/:organization/consumers":              admins,
	"POST /api/v1/organizations/:organization/consumers":             admins,
	"GET /api/v1/organizations/:organization/consumers/:consumer":    admins,
	"PATCH /api/v1/organizations/:organization/consumers/:consumer":  admins,
	"DELETE /api/v1/organizations/:organization/consumers/:consumer": admins,
}

var (
	everybody = map[Caller]Decision{Anonymous: Allowed, Admin: Allowed}
	admins    = map[Caller]Decision{Anonymous: Unauthenticated, Admin: Allowed}
)

// Decide tells whether caller may call route. What the table does not know is denied.
func Decide(caller Caller, route Route) Decision {
	rule, known := rules[route]
	if !known {
		if caller == Anonymous {
			return Unauthenticated
		}
		return Forbidden
	}
	return rule[caller]
}

// Routes returns every route of the table, in no order.
func Routes() []Route {
	routes := make([]Route, 0, len(rules))
	for route := range rules {
		routes = append(routes, route)
	}
	return routes
}

// Callers returns every class of callers.
func Callers() []Caller { return []Caller{Anonymous, Admin} }
