// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
	"github.com/lanyard-dev/lanyard/pkg/api"
)

var organizationView = output.View[api.Organization]{
	Kind: "organization", Name: func(o api.Organization) string { return o.Slug },
	Columns: []output.Column[api.Organization]{
		{Header: "SLUG", Cell: func(o api.Organization) string { return o.Slug }},
		{Header: "DISPLAY NAME", Cell: func(o api.Organization) string { return o.DisplayName }},
		{Header: "UPDATED", Cell: func(o api.Organization) string { return output.Time(o.UpdatedAt) }},
		{Header: "BY", Wide: true, Cell: func(o api.Organization) string { return o.UpdatedBy }},
		{Header: "ID", Wide: true, Cell: func(o api.Organization) string { return o.ID }},
	},
}

var secretView = output.View[api.Secret]{
	Kind: "secret", Name: func(s api.Secret) string { return s.Name },
	Columns: []output.Column[api.Secret]{
		{Header: "NAME", Cell: func(s api.Secret) string { return s.Name }},
		{Header: "STORAGE", Cell: func(s api.Secret) string { return string(s.Storage) }},
		{Header: "ACTIVE", Cell: func(s api.Secret) string {
			if s.DeletedAt != nil {
				return "deleted"
			}
			return output.Text(s.ActiveVersion)
		}},
		{Header: "LAST", Wide: true, Cell: func(s api.Secret) string { return output.Text(s.LastVersion) }},
		{Header: "UPDATED", Cell: func(s api.Secret) string { return output.Time(s.UpdatedAt) }},
		{Header: "BY", Wide: true, Cell: func(s api.Secret) string { return s.UpdatedBy }},
		{Header: "EXPIRES", Wide: true, Cell: func(s api.Secret) string { return output.OptionalTime(s.ExpiresAt) }},
		{Header: "DELETED", Wide: true, Cell: func(s api.Secret) string { return output.OptionalTime(s.DeletedAt) }},
		{Header: "LABELS", Wide: true, Cell: func(s api.Secret) string { return labelText(s.Labels) }},
		{Header: "REFERENCE", Wide: true, Cell: remoteText},
		{Header: "GRANTS", Wide: true, Cell: func(s api.Secret) string { return bindingsText(s.Grants) }},
		{Header: "ID", Wide: true, Cell: func(s api.Secret) string { return s.ID }},
	},
}

func remoteText(s api.Secret) string {
	if s.RemotePath == nil {
		return ""
	}
	text := *s.RemotePath
	if s.RemoteKey != nil {
		text += "#" + *s.RemoteKey
	}
	if s.RemoteVersion != nil {
		text += "@" + *s.RemoteVersion
	}
	return text
}

func labelText(labels map[string]string) string {
	pairs := make([]string, 0, len(labels))
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, key+"="+labels[key])
	}
	return strings.Join(pairs, ",")
}

var versionView = output.View[api.Version]{
	Kind: "version", Name: func(v api.Version) string { return strconv.FormatUint(v.Number, 10) },
	Columns: []output.Column[api.Version]{
		{Header: "VERSION", Cell: func(v api.Version) string { return strconv.FormatUint(v.Number, 10) }},
		{Header: "STATE", Cell: versionState},
		{Header: "CREATED", Cell: func(v api.Version) string { return output.Time(v.CreatedAt) }},
		{Header: "BY", Cell: func(v api.Version) string { return v.CreatedBy }},
		{Header: "ENVFILE", Cell: func(v api.Version) string {
			if v.NoEnvfile != nil {
				return "no: " + *v.NoEnvfile
			}
			return "yes"
		}},
	},
}

func versionState(v api.Version) string {
	switch {
	case v.DestroyedAt != nil:
		return "destroyed"
	case v.Active:
		return "active"
	}
	return "inactive"
}

var referenceView = output.View[api.Reference]{
	Kind: "reference", Name: func(r api.Reference) string { return r.Kind + "/" + r.Name },
	Columns: []output.Column[api.Reference]{
		{Header: "KIND", Cell: func(r api.Reference) string { return r.Kind }},
		{Header: "NAME", Cell: func(r api.Reference) string { return r.Name }},
		{Header: "FIELD", Cell: func(r api.Reference) string { return r.Field }},
		{Header: "ID", Wide: true, Cell: func(r api.Reference) string { return r.ID }},
	},
}

var invitationView = output.View[api.Invitation]{
	Kind: "invitation", Name: func(i api.Invitation) string { return i.ID },
	Columns: []output.Column[api.Invitation]{
		{Header: "ID", Cell: func(i api.Invitation) string { return i.ID }},
		{Header: "INVITED", Cell: func(i api.Invitation) string { return output.Text(cmp.Or(i.Email, i.Principal)) }},
		{Header: "ROLE", Cell: func(i api.Invitation) string { return string(i.Role) }},
		{Header: "EXPIRES", Cell: func(i api.Invitation) string { return output.Time(i.ExpiresAt) }},
		{Header: "BY", Wide: true, Cell: func(i api.Invitation) string { return i.CreatedBy }},
	},
}

var contentView = output.View[api.OrganizationContent]{
	Kind: "content", Name: func(c api.OrganizationContent) string { return c.Kind },
	Columns: []output.Column[api.OrganizationContent]{
		{Header: "KIND", Cell: func(c api.OrganizationContent) string { return c.Kind }},
		{Header: "COUNT", Cell: func(c api.OrganizationContent) string { return strconv.Itoa(c.Count) }},
		{Header: "NEEDS FORCE", Cell: func(c api.OrganizationContent) string {
			if c.NeedsForce {
				return "yes"
			}
			return "no"
		}},
		{Header: "NAMES", Cell: contentNames},
	},
}

// contentNames are the first few names: a table is for looking at.
func contentNames(c api.OrganizationContent) string {
	const enough = 8
	text := strings.Join(c.Names[:min(len(c.Names), enough)], ", ")
	if c.Count > enough {
		text += ", …"
	}
	return text
}

var consumerView = output.View[api.Consumer]{
	Kind: "consumer", Name: func(c api.Consumer) string { return c.Name },
	Columns: []output.Column[api.Consumer]{
		{Header: "NAME", Cell: func(c api.Consumer) string { return c.Name }},
		{Header: "KIND", Cell: func(c api.Consumer) string { return string(c.Kind) }},
		{Header: "ENVS", Cell: func(c api.Consumer) string { return strconv.Itoa(len(c.Envs)) }},
		{Header: "BINDINGS", Cell: func(c api.Consumer) string { return bindingsText(c.Bindings) }},
		{Header: "UPDATED", Cell: func(c api.Consumer) string { return output.Time(c.UpdatedAt) }},
		{Header: "BY", Wide: true, Cell: func(c api.Consumer) string { return c.UpdatedBy }},
		{Header: "LABELS", Wide: true, Cell: func(c api.Consumer) string { return labelText(c.Labels) }},
		{Header: "ENV NAMES", Wide: true, Cell: envText},
		{Header: "DELIVERIES", Wide: true, Cell: func(c api.Consumer) string {
			texts := make([]string, len(c.Deliveries))
			for i, d := range c.Deliveries {
				texts[i] = string(d)
			}
			return strings.Join(texts, ",")
		}},
		{Header: "ID", Wide: true, Cell: func(c api.Consumer) string { return c.ID }},
	},
}

func bindingsText(bindings []api.Binding) string {
	texts := make([]string, len(bindings))
	for i, b := range bindings {
		texts[i] = bindingText(b)
	}
	return strings.Join(texts, ",")
}

func bindingText(b api.Binding) string {
	text := b.Namespace + "/" + b.ServiceAccount
	if b.Cluster != nil && *b.Cluster != defaultCluster {
		text = *b.Cluster + "/" + text
	}
	return text
}

var grantView = output.View[api.Binding]{
	Kind: "grant", Name: bindingText,
	Columns: []output.Column[api.Binding]{
		{Header: "CLUSTER", Cell: func(b api.Binding) string { return output.Text(b.Cluster) }},
		{Header: "NAMESPACE", Cell: func(b api.Binding) string { return b.Namespace }},
		{Header: "SERVICE ACCOUNT", Cell: func(b api.Binding) string { return b.ServiceAccount }},
	},
}

func envText(c api.Consumer) string {
	texts := make([]string, len(c.Envs))
	for i, e := range c.Envs {
		texts[i] = e.Name
		if e.Secret != nil {
			texts[i] += "=" + *e.Secret
		}
	}
	return strings.Join(texts, ",")
}

var providerView = output.View[api.Provider]{
	Kind: "provider", Name: func(p api.Provider) string { return p.Name },
	Columns: []output.Column[api.Provider]{
		{Header: "NAME", Cell: func(p api.Provider) string { return p.Name }},
		{Header: "TYPE", Cell: func(p api.Provider) string { return p.Type }},
		{Header: "CREDENTIALS", Cell: func(p api.Provider) string {
			if p.CredentialsSet {
				return "set"
			}
			return ""
		}},
		{Header: "ALLOWED PREFIXES", Cell: func(p api.Provider) string { return strings.Join(p.AllowedPrefixes, ",") }},
		{Header: "HEALTH", Wide: true, Cell: func(p api.Provider) string { return healthText(p.Health) }},
		{Header: "LAST SUCCESS", Wide: true, Cell: func(p api.Provider) string { return output.OptionalTime(p.Health.LastSuccessAt) }},
		{Header: "UPDATED", Cell: func(p api.Provider) string { return output.Time(p.UpdatedAt) }},
		{Header: "BY", Wide: true, Cell: func(p api.Provider) string { return p.UpdatedBy }},
		{Header: "ID", Wide: true, Cell: func(p api.Provider) string { return p.ID }},
	},
}

// healthText tells how a provider is, and why it is not well.
func healthText(h api.ProviderHealth) string {
	if h.ErrorCode == nil {
		return string(h.Status)
	}
	return strings.TrimSuffix(string(h.Status)+" "+*h.ErrorCode+"/"+output.Text(h.ErrorReason), "/")
}

var memberView = output.View[api.Member]{
	Kind: "member", Name: func(m api.Member) string { return m.Principal },
	Columns: []output.Column[api.Member]{
		{Header: "PRINCIPAL", Cell: func(m api.Member) string { return m.Principal }},
		{Header: "ROLE", Cell: func(m api.Member) string { return string(m.Role) }},
		{Header: "UPDATED", Cell: func(m api.Member) string { return output.Time(m.UpdatedAt) }},
		{Header: "BY", Wide: true, Cell: func(m api.Member) string { return m.UpdatedBy }},
		{Header: "ID", Wide: true, Cell: func(m api.Member) string { return m.ID }},
	},
}

var tokenView = output.View[api.APIToken]{
	Kind: "token", Name: func(t api.APIToken) string { return t.Name },
	Columns: []output.Column[api.APIToken]{
		{Header: "NAME", Cell: func(t api.APIToken) string { return t.Name }},
		{Header: "ROLE", Cell: func(t api.APIToken) string { return string(t.Role) }},
		{Header: "EXPIRES", Cell: func(t api.APIToken) string { return output.Time(t.ExpiresAt) }},
		{Header: "LAST USED", Cell: func(t api.APIToken) string { return output.OptionalTime(t.LastUsedAt) }},
		{Header: "CREATED", Wide: true, Cell: func(t api.APIToken) string { return output.Time(t.CreatedAt) }},
		{Header: "BY", Wide: true, Cell: func(t api.APIToken) string { return t.CreatedBy }},
		{Header: "ID", Wide: true, Cell: func(t api.APIToken) string { return t.ID }},
	},
}

var auditView = output.View[api.AuditEvent]{
	Kind: "event", Name: func(e api.AuditEvent) string { return e.ID },
	Columns: []output.Column[api.AuditEvent]{
		{Header: "TIME", Cell: func(e api.AuditEvent) string { return output.Time(e.Time) }},
		{Header: "ACTOR", Cell: func(e api.AuditEvent) string { return e.Actor }},
		{Header: "ACTION", Cell: func(e api.AuditEvent) string { return e.Action }},
		{Header: "OUTCOME", Cell: func(e api.AuditEvent) string { return string(e.Outcome) }},
		{Header: "RESOURCE", Cell: func(e api.AuditEvent) string { return output.Text(e.ResourceName) }},
		{Header: "VERSION", Cell: func(e api.AuditEvent) string { return output.Text(e.Version) }},
		{Header: "POD", Cell: func(e api.AuditEvent) string {
			if e.Workload == nil {
				return ""
			}
			return e.Workload.Namespace + "/" + e.Workload.Pod
		}},
		{Header: "REASON", Wide: true, Cell: func(e api.AuditEvent) string { return output.Text(e.Reason) }},
		{Header: "CHANGED", Wide: true, Cell: func(e api.AuditEvent) string {
			if e.Changed == nil {
				return ""
			}
			return strings.Join(*e.Changed, ",")
		}},
		{Header: "SOURCE", Wide: true, Cell: func(e api.AuditEvent) string { return output.Text(e.SourceIP) }},
		{Header: "REQUEST", Wide: true, Cell: func(e api.AuditEvent) string { return output.Text(e.RequestID) }},
	},
}
