// SPDX-License-Identifier: Apache-2.0

package authz

// Rule is one row of the table.
type Rule struct {
	// Action is what the log and the metrics call the operation. Mutations have the words of package audit.
	Action string
	Needs  Role
}

// Rules is the table. It is not changed at run time.
var Rules = map[string]Rule{ // :: operationId → rule
	"getOpenAPI": {"document.read", Anyone},
	"getMe":      {"me.read", Authenticated},

	"listOrganizations":  {"organization.list", Admin},
	"createOrganization": {"organization.create", Admin},
	"getOrganization":    {"organization.read", Member},
	"updateOrganization": {"organization.update", Owner},
	"deleteOrganization": {"organization.delete", Admin},

	"listSecrets":          {"secret.list", Member},
	"createSecret":         {"secret.create", Owner},
	"getSecret":            {"secret.read", Member},
	"updateSecret":         {"secret.update", Owner},
	"deleteSecret":         {"secret.delete", Owner},
	"undeleteSecret":       {"secret.undelete", Owner},
	"listSecretReferences": {"secret.references", Member},

	"listSecretVersions":    {"secret.versions", Member},
	"createSecretVersion":   {"secret.put", Owner},
	"getSecretVersion":      {"secret.versions", Member},
	"activateSecretVersion": {"secret.activate", Owner},
	"destroySecretVersion":  {"secret.destroy-version", Owner},

	"listConsumers":   {"consumer.list", Member},
	"createConsumer":  {"consumer.create", Owner},
	"getConsumer":     {"consumer.read", Member},
	"replaceConsumer": {"consumer.update", Owner},
	"updateConsumer":  {"consumer.update", Owner},
	"deleteConsumer":  {"consumer.delete", Owner},

	"listAuditEvents":             {"audit.list", Admin},
	"listOrganizationAuditEvents": {"audit.list", Member},
}
