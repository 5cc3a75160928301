// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"time"

	"github.com/google/uuid"

	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Event returns what every audit event about a pod begins with. The zero principal is a caller who could not be authenticated.
func (c Call) Event(outcome audit.Outcome, reason string) audit.Event {
	id, err := uuid.NewV7()
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	e := audit.Event{
		ID: id.String(), Time: time.Now().UTC(), RequestID: c.RequestID, SourceIP: c.SourceIP,
		Actor: "anonymous:" + c.SourceIP, Action: audit.WorkloadResolve, Outcome: outcome, Reason: reason,
	}
	if p := c.Principal; p != (authn.Principal{}) {
		e.Actor = "serviceaccount:" + p.Namespace + "/" + p.ServiceAccount
		e.ResourceKind, e.ResourceID, e.ResourceName = "pod", p.PodUID, p.Namespace+"/"+p.Pod
		e.Workload = &audit.Workload{
			Cluster: p.Cluster, Namespace: p.Namespace, ServiceAccount: p.ServiceAccount, Pod: p.Pod, PodUID: p.PodUID, Node: p.Node, TokenID: p.TokenID,
		}
	}
	return e
}

// perOrg returns one event for each organization of the plan: members of one must not read what was released of another.
func perOrg(call Call, p *plan, outcome audit.Outcome, reason string) []audit.Event {
	orgs := p.orgs()
	events := make([]audit.Event, len(orgs))
	for i, id := range orgs {
		events[i] = call.Event(outcome, reason)
		events[i].OrgID = id
	}
	return events
}

func event(events []audit.Event, orgID string) *audit.Event {
	for i := range events {
		if events[i].OrgID == orgID {
			return &events[i]
		}
	}
	return nil
}

// ReasonRefreshed is the reason of a release to a pod that had values already, and is sent those that replace them.
const ReasonRefreshed = "refreshed"

// released tells which ENVs are about to be sent.
func released(call Call, p *plan) []audit.Event {
	reason := ""
	if p.request.Refresh() {
		reason = ReasonRefreshed
	}
	events := perOrg(call, p, audit.Allowed, reason)
	for _, it := range p.items {
		grant := audit.Grant{Container: p.request.containers[it.container].Name, Env: it.env}
		grant.Pinned = it.inline && it.secret.pinned != 0
		if !it.inline {
			grant.Consumer, grant.ConsumerID = p.request.consumers[it.container].String(), p.consumers[it.container].ID
		}
		if s := it.secret; s != nil {
			grant.Secret, grant.SecretID, grant.Version, grant.Leased = s.meta.Name, s.id, s.version, s.leased
			if !s.lastGood.IsZero() {
				grant.LastKnownGood, grant.FetchedAt = true, s.lastGood
			}
		}
		w := event(events, it.orgID).Workload
		w.Released = append(w.Released, grant)
	}
	return events
}

// unresolved tells each organization that a pod it allowed got nothing.
func unresolved(call Call, p *plan) []audit.Event {
	return perOrg(call, p, audit.Denied, string(wire.CodeUnresolved))
}

// unbound tells of every consumer that was claimed without a binding. Consumers that do not exist belong to no organization.
func unbound(call Call, refs []ref.Consumer, consumers []store.Consumer) []audit.Event {
	var events []audit.Event
	seen := map[ref.Consumer]bool{}
	for i, r := range refs {
		if r == (ref.Consumer{}) || seen[r] || binds(consumers[i], call.Principal) {
			continue
		}
		seen[r] = true
		e := call.Event(audit.Denied, string(wire.CodeNotBound))
		e.OrgID, e.ResourceKind, e.ResourceID, e.ResourceName = consumers[i].OrgID, "consumer", consumers[i].ID, r.String()
		events = append(events, e)
	}
	return events
}

// ungranted tells of every secret that was referred to without a grant. Secrets that do not exist belong to no organization.
func ungranted(call Call, inline [][]ref.Secret, secrets [][]store.Secret) []audit.Event {
	var events []audit.Event
	seen := map[string]bool{}
	for i, refs := range inline {
		for j, r := range refs {
			secret := secrets[i][j]
			if seen[r.Path()] || grants(secret, call.Principal) {
				continue
			}
			seen[r.Path()] = true
			e := call.Event(audit.Denied, string(wire.CodeNotGranted))
			e.OrgID, e.ResourceKind, e.ResourceID, e.ResourceName = secret.OrgID, "secret", secret.ID, r.Path()
			events = append(events, e)
		}
	}
	return events
}
