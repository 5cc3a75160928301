// SPDX-License-Identifier: Apache-2.0

// Package authz says who may do what in the administrators' API. It does no I/O and reads no clock.
//
// There is one table, [Rules]: one row for each operation of the API's document, with the role the operation needs. A test of package api walks every route
// against every caller. No operation returns a value, so no role here can read one; pods get values by bindings, which package resolve checks.
package authz

// Principal is an authenticated caller. The zero Principal is the anonymous caller.
type Principal struct {
	Type string // "token"
	ID   string
	// Admin says that it is an administrator of the installation.
	Admin bool
}

// Anonymous reports whether nobody was authenticated.
func (p Principal) Anonymous() bool { return p == Principal{} }

// String returns the form the audit log uses, "<type>:<id>", or "anonymous".
func (p Principal) String() string {
	if p.Anonymous() {
		return "anonymous"
	}
	return p.Type + ":" + p.ID
}

// Role is what an operation needs of its caller. Each role may do everything the ones before it may.
type Role int

// The roles.
const (
	Nobody        Role = iota // the zero Role allows no one
	Anyone                    // also without a credential
	Authenticated             // any principal
	Member                    // of the organization: reads metadata
	Owner                     // of the organization: writes
	Admin                     // of the installation: manages organizations
)

// Decision is the answer to an authorization question. The zero Decision denies.
type Decision int

// The decisions.
const (
	Denied          Decision = iota
	Unauthenticated          // a credential might change the answer
	Allowed
)

// Decide says whether p may do an operation. An operation without a rule is denied to everybody.
//
// Organizations have no members yet: what needs [Member] or [Owner] is for administrators.
func Decide(p Principal, operation string) Decision {
	rule, ok := Rules[operation]
	switch {
	case !ok || rule.Needs == Nobody:
		return Denied
	case rule.Needs == Anyone:
		return Allowed
	case p.Anonymous():
		return Unauthenticated
	case rule.Needs == Authenticated || p.Admin:
		return Allowed
	}
	return Denied
}
