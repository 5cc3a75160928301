// SPDX-License-Identifier: Apache-2.0

// Package azure reads secrets from Azure Key Vault.
//
// The client library is Microsoft's azsecrets, without its retries, telemetry and authentication. The last would fetch a token for whatever the vault's answer names, after a first request without one;
// package bearer has a token for Key Vault ready instead. azidentity is not used: it looks at the environment, at metadata services and at command lines, and what is needed of it is one request.
//
// AZURE_SDK_GO_LOGGING in the environment of the registry makes the library write to standard error which secrets are asked for, with neither values nor tokens. Nothing else is taken from there.
package azure
