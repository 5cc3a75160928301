// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// DefaultPrefix is where an installation keeps its keys.
const DefaultPrefix = "/lanyard/v1/"

// installation is the audit chain of what belongs to no organization.
const installation = "installation"

// The kinds of records. They are part of what the MAC covers.
const (
	kindAudit        = "audit"
	kindAuditHead    = "audit-head"
	kindKeyCheck     = "key-check"
	kindOrganization = "organization"
	kindConsumerName = "consumer-name"
	kindConsumer     = "consumer"
	kindProviderName = "provider-name"
	kindProvider     = "provider"
	kindSecretName   = "secret-name"
	kindSecret       = "secret"
	kindVersion      = "version"
	kindSchema       = "schema"
	kindSlug         = "slug"
	kindTip          = "tip"
	kindMember       = "member"
	kindAPIToken     = "api-token"
	kindTokenUse     = "token-use"
	kindSession      = "session"
	kindSessionUse   = "session-use"
	kindGrant        = "grant"
	kindAnswer       = "answer"
	kindSweep        = "sweep"
	kindReminder     = "reminder"
	kindLease        = "lease"
	kindLastGood     = "last-known-good"
	kindDevice       = "device"
	kindDeviceCode   = "device-code"
	kindInvitation   = "invitation"
	kindDeletion     = "organization-deletion"

	kindAdministrator = "administrator"
	kindBootstrap     = "bootstrap"

	kindFederation = "federation"
	kindFederated  = "federated-token"
	kindRedeemed   = "redeemed"
)

// keyspace builds and parses keys; it is the prefix, with its final slash.
type keyspace string

func (k keyspace) schema() string                { return string(k) + "schema" }
func (k keyspace) tip() string                   { return string(k) + "tip" }
func (k keyspace) keyChecks() string             { return string(k) + "keys/" }
func (k keyspace) keyCheck(kid string) string    { return string(k) + "keys/" + kid }
func (k keyspace) slug(slug string) string       { return string(k) + "slugs/" + slug }
func (k keyspace) org(id string) string          { return string(k) + "orgs/" + id }
func (k keyspace) under(org, kind string) string { return k.org(org) + "/" + kind + "/" }

func (k keyspace) secret(org, id string) string         { return k.under(org, "secrets") + id }
func (k keyspace) secretName(org, name string) string   { return k.under(org, "secretnames") + name }
func (k keyspace) consumer(org, id string) string       { return k.under(org, "consumers") + id }
func (k keyspace) consumerName(org, name string) string { return k.under(org, "consumernames") + name }
func (k keyspace) provider(org, id string) string       { return k.under(org, "providers") + id }
func (k keyspace) providerName(org, name string) string { return k.under(org, "providernames") + name }
func (k keyspace) version(org, secret string, number uint64) string {
	return fmt.Sprintf("%s%s/%020d", k.under(org, "versions"), secret, number)
}

// A principal may hold a slash, which is escaped.
func (k keyspace) member(org, principal string) string {
	return k.under(org, "members") + url.PathEscape(principal)
}
func (k keyspace) invitation(org, id string) string { return k.under(org, "invitations") + id }
func (k keyspace) apiToken(org, name string) string { return k.under(org, "tokens") + name }
func (k keyspace) federation(org, name string) string {
	return k.under(org, "federations") + name
}
func (k keyspace) federated(org, id string) string { return k.under(org, "federatedtokens") + id }
func (k keyspace) redeemed(sum string) string      { return string(k) + "dynamic/redeemed/" + sum }
func (k keyspace) activity(org string) string      { return string(k) + "activity/" + org + "/" }
func (k keyspace) tokenUses(org string) string     { return k.activity(org) + "tokens/" }
func (k keyspace) tokenUse(org, id string) string  { return k.tokenUses(org) + id }

// Everything under people/ is about the installation, not an organization.
func (k keyspace) administrator(principal string) string {
	return string(k) + "people/administrators/" + url.PathEscape(principal)
}
func (k keyspace) bootstrap() string { return string(k) + "people/bootstrap" }

func (k keyspace) session(id string) string       { return string(k) + "sessions/" + id }
func (k keyspace) sessionUse(id string) string    { return string(k) + "sessionuses/" + id }
func (k keyspace) sweep() string                  { return string(k) + "activity/sweep" }
func (k keyspace) reminders(org string) string    { return k.activity(org) + "reminders/" }
func (k keyspace) reminder(org, id string) string { return k.reminders(org) + id }
func (k keyspace) allGrants() string              { return string(k) + "grants/" }
func (k keyspace) grants(org string) string       { return k.allGrants() + org + "/" }

// A cluster's name may hold a slash, which is escaped; the names of Kubernetes do not.
func (k keyspace) grantsOf(p podKey) string {
	return k.grants(p.org) + strings.Join([]string{url.PathEscape(p.cluster), p.namespace, p.pod, p.uid}, "/") + "/"
}
func (k keyspace) grant(p podKey, container string) string { return k.grantsOf(p) + container }
func (k keyspace) answers(day int64) string                { return fmt.Sprintf("%sanswers/%08d/", string(k), day) }

func (k keyspace) audits() string                { return string(k) + "audit/" }
func (k keyspace) auditHead(chain string) string { return k.audits() + chain + "/head" }
func (k keyspace) auditEvents(chain string, seq uint64) string {
	return fmt.Sprintf("%s%s/events/%020d", k.audits(), chain, seq)
}

func (k keyspace) leader(name string) string   { return string(k) + "dynamic/leaders/" + name }
func (k keyspace) leases() string              { return string(k) + "dynamic/leases/" }
func (k keyspace) leasesOf(org string) string  { return k.leases() + org + "/" }
func (k keyspace) lease(org, id string) string { return k.leasesOf(org) + id }

// Those of one provider have a prefix of their own, so that its change removes them all.
func (k keyspace) lastGoods(org string) string { return string(k) + "dynamic/lastgood/" + org + "/" }
func (k keyspace) lastGoodOf(org, provider string) string {
	return k.lastGoods(org) + provider + "/"
}
func (k keyspace) lastGood(org, provider, secret string) string {
	return k.lastGoodOf(org, provider) + secret
}

// What is left of organizations that are being deleted.
func (k keyspace) deletions() string          { return string(k) + "deletions/" }
func (k keyspace) deletion(org string) string { return k.deletions() + org }

func (k keyspace) devices() string         { return string(k) + "devices/" }
func (k keyspace) device(id string) string { return k.devices() + id }
func (k keyspace) deviceCodes() string     { return string(k) + "devicecodes/" }

// watched is the range of keys kept in memory.
func (k keyspace) watched() (from, to string) { return string(k) + "keys/", k.end() }

// end is the first key after the prefix: its final '/' raised by one.
func (k keyspace) end() string { return string(k[:len(k)-1]) + "0" }

// address is a parsed key of the watched range.
type address struct {
	kind   string
	org    string
	id     string // id or name, by kind
	number uint64 // of a version
}

// parse reports what a key addresses; ok is false for keys this release does not know.
func (k keyspace) parse(key string) (a address, ok bool) {
	rest, ok := strings.CutPrefix(key, string(k))
	if !ok {
		return address{}, false
	}
	part := strings.Split(rest, "/")
	switch {
	case len(part) == 1 && part[0] == "schema":
		return address{kind: kindSchema}, true
	case len(part) == 1 && part[0] == "tip":
		return address{kind: kindTip}, true
	case len(part) == 2 && part[0] == "keys":
		return address{kind: kindKeyCheck, id: part[1]}, true
	case len(part) == 2 && part[0] == "slugs":
		return address{kind: kindSlug, id: part[1]}, true
	case len(part) == 3 && part[0] == "people" && part[1] == "administrators":
		return address{kind: kindAdministrator, id: part[2]}, true
	case len(part) == 2 && part[0] == "people" && part[1] == "bootstrap":
		return address{kind: kindBootstrap}, true
	case len(part) == 2 && part[0] == "sessions":
		return address{kind: kindSession, id: part[1]}, true
	case len(part) == 2 && part[0] == "sessionuses":
		return address{kind: kindSessionUse, id: part[1]}, true
	case len(part) == 2 && part[0] == "orgs":
		return address{kind: kindOrganization, org: part[1], id: part[1]}, true
	case len(part) == 4 && part[0] == "orgs":
		kind, known := kindOf[part[2]]
		return address{kind: kind, org: part[1], id: part[3]}, known
	case len(part) == 5 && part[0] == "orgs" && part[2] == "versions":
		number, err := strconv.ParseUint(part[4], 10, 64)
		return address{kind: kindVersion, org: part[1], id: part[3], number: number}, err == nil && len(part[4]) == 20
	}
	return address{}, false
}

var kindOf = map[string]string{ // :: path element → kind
	"secrets":         kindSecret,
	"secretnames":     kindSecretName,
	"consumers":       kindConsumer,
	"consumernames":   kindConsumerName,
	"members":         kindMember,
	"tokens":          kindAPIToken,
	"invitations":     kindInvitation,
	"providers":       kindProvider,
	"providernames":   kindProviderName,
	"federations":     kindFederation,
	"federatedtokens": kindFederated,
}
