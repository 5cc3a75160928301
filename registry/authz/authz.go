// SPDX-License-Identifier: Apache-2.0

// Package authz says who may do what in the administrators' API. It does no I/O and reads no clock.
//
// There is one table, [Rules]: one row for each operation of the API's document, with the role the operation needs. A test of package api walks every route
// against every class of callers. To those who are not members, an organization is hidden: they are told what they would be told if it did not exist. No operation returns a value, so no role here can read one; pods get values by bindings, which package resolve checks.
package authz

// Principal is an authenticated caller. The zero Principal is the anonymous caller.
type Principal struct {
	Type string // "token", "user", "serviceaccount"
	ID   string
	// Admin says that it is an administrator of the installation.
	Admin bool
	// Org and Role are set for an API token or the bearer of a federation, which belongs to one organization, by id, and has this role there and none elsewhere.
	Org  string
	Role Role
	// Credential is the id of a bearer that a federation gave out: what it makes must not outlive it.
	Credential string
	// Session is the id of the session of somebody who signed in.
	Session string
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
	Admin                     // of the installation: manages organizations, administrators and sessions
)

// Standing is what a caller is in the organization a request names. The zero Standing is that of a request which names none.
type Standing int

// The standings.
const (
	NoOrganization Standing = iota
	Stranger                // not a member, or there is no such organization
	MemberThere
	OwnerThere
)

// Standing returns what a principal with this role in an organization is there.
func (r Role) Standing() Standing {
	switch r {
	case Owner:
		return OwnerThere
	case Member:
		return MemberThere
	}
	return Stranger
}

// Decision is the answer to an authorization question. The zero Decision denies.
type Decision int

// The decisions.
const (
	Denied          Decision = iota
	Unauthenticated          // a credential might change the answer
	Hidden                   // denied, and the caller must not learn that there is such an organization
	Allowed
)

// Decide says whether p, being what it is in the organization of the request, may do an operation. An operation without a rule is denied to everybody.
func Decide(p Principal, there Standing, operation string) Decision {
	rule, ok := Rules[operation]
	switch {
	case !ok || rule.Needs == Nobody:
		return Denied
	case rule.Needs == Anyone:
		return Allowed
	case p.Anonymous():
		return Unauthenticated
	case p.Admin || rule.Needs == Authenticated:
		return Allowed
	case there == Stranger:
		return Hidden
	case rule.Needs == Member && (there == MemberThere || there == OwnerThere), rule.Needs == Owner && there == OwnerThere:
		return Allowed
	}
	return Denied
}
