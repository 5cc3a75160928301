// SPDX-License-Identifier: Apache-2.0

// Package aws reads secrets from AWS Secrets Manager and from the Parameter Store of AWS Systems Manager (SSM). It signs with an access key of the record, or with a session of a
// role that the registry's own service account assumes (web identity).
//
// Amazon's SDK is used for the protocol alone. Its clients are made from explicit options, never from its configuration loader, so that neither the environment, nor files of the home
// directory, nor the metadata service of the node lends its credentials to an organization. Its retries are off, its HTTP client is the guarded one, and its errors are replaced.
package aws
