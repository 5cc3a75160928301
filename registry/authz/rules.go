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
	"getOpenAPI":     {"document.read", Anyone},
	"getOpenAPIYAML": {"document.read", Anyone},
	"getMe":          {"me.read", Authenticated},

	"listSessions":  {"session.list", Authenticated}, // the caller's own
	"revokeSession": {"session.revoke", Authenticated},

	"listSessionsOf":  {"session.list", Admin},
	"revokeSessionOf": {"session.revoke", Admin},

	"listAdministrators":  {"administrator.list", Admin},
	"addAdministrator":    {"administrator.add", Admin},
	"getAdministrator":    {"administrator.read", Admin},
	"removeAdministrator": {"administrator.remove", Admin},

	"listDeletions": {"organization.deletions", Admin},

	"listOrganizations":  {"organization.list", Authenticated}, // of those the caller is a member of
	"createOrganization": {"organization.create", Admin},
	"getOrganization":    {"organization.read", Member},
	"updateOrganization": {"organization.update", Owner},
	"deleteOrganization": {"organization.delete", Admin},

	"getOrganizationContents": {"organization.contents", Owner}, // it names API tokens

	"listSecrets":    {"secret.list", Member},
	"createSecret":   {"secret.create", Owner},
	"putSecrets":     {"secret.create", Owner},
	"importSecrets":  {"secret.create", Owner},
	"getSecret":      {"secret.read", Member},
	"updateSecret":   {"secret.update", Owner},
	"deleteSecret":   {"secret.delete", Owner},
	"undeleteSecret": {"secret.undelete", Owner},
	"listReferences": {"secret.references", Member},
	"checkSecret":    {"secret.check", Owner},

	"listProviders":  {"provider.list", Member},
	"createProvider": {"provider.create", Owner},
	"getProvider":    {"provider.read", Member},
	"updateProvider": {"provider.update", Owner},
	"deleteProvider": {"provider.delete", Owner},
	"testProvider":   {"provider.test", Owner},

	"listVersions":    {"secret.versions", Member},
	"putVersion":      {"secret.put", Owner},
	"getVersion":      {"secret.versions", Member},
	"activateVersion": {"secret.activate", Owner},
	"destroyVersion":  {"secret.destroy-version", Owner},

	"listConsumers":   {"consumer.list", Member},
	"createConsumer":  {"consumer.create", Owner},
	"getConsumer":     {"consumer.read", Member},
	"replaceConsumer": {"consumer.update", Owner},
	"updateConsumer":  {"consumer.update", Owner},
	"deleteConsumer":  {"consumer.delete", Owner},

	"listWorkloads": {"workload.list", Member},
	"getWorkload":   {"workload.read", Member},
	"explain":       {"workload.explain", Member},
	"stopWorkload":  {"workload.stop", Owner},
	"stopWorkloads": {"workload.stop", Owner},

	"listInstallationAuditEvents": {"audit.list", Admin},
	"listAuditEvents":             {"audit.list", Owner},

	"readInstallationAuditChain":   {"audit.export", Admin},
	"readAuditChain":               {"audit.export", Owner},
	"verifyInstallationAuditChain": {"audit.verify", Admin},
	"verifyAuditChain":             {"audit.verify", Owner},

	"listMembers":  {"member.list", Member},
	"addMember":    {"member.add", Owner},
	"getMember":    {"member.read", Member},
	"updateMember": {"member.update", Owner},
	"removeMember": {"member.remove", Owner},

	"listInvitations":  {"invitation.list", Owner}, // they hold addresses of people who are no members
	"createInvitation": {"invitation.create", Owner},
	"getInvitation":    {"invitation.read", Owner},
	"revokeInvitation": {"invitation.revoke", Owner},
	"acceptInvitation": {"invitation.accept", Authenticated},

	"listTokens":  {"token.list", Owner},
	"createToken": {"token.create", Owner},
	"getToken":    {"token.read", Owner},
	"deleteToken": {"token.revoke", Owner},

	"listFederations":  {"federation.list", Member},
	"createFederation": {"federation.create", Owner},
	"getFederation":    {"federation.read", Member},
	"deleteFederation": {"federation.delete", Owner},
}
