// SPDX-License-Identifier: Apache-2.0

// Package agent is the init agent: it runs once, as an init container of a pod, proves the pod's identity to the registry, fetches the values the pod may
// have and writes them where the kubelet reads ENV values from. Then it ends, and nothing of it stays beside the application.
//
// It hands over every value asked for or none. It takes nothing from the machine it runs on: no system certificates, no proxy, no file but its token.
//
// # Environment
//
// The injector writes these variables into the pod; none is secret. There are no flags.
//
//	LANYARD_URL              https URL of the registry's workload listener, without a path. Required. End the host with a dot to spare the
//	                         resolver the search domains.
//	LANYARD_SERVER_NAME      name the registry's certificate must be for. Default: the URL's host.
//	LANYARD_CA               PEM bundle of the authorities that may have signed it. Required; the system's are never used.
//	LANYARD_REQUEST          what to ask for, a wire.ResolveRequest as JSON. Required.
//	LANYARD_DEADLINE         how long to try, a Go duration of at most 10m. Default: 2m.
//	LANYARD_TOKEN_FILE       absolute path of the pod's projected token, read again at every try. Default: /run/lanyard/token/token.
//	LANYARD_ENV_DIR          absolute path of the directory for env files, a memory-backed volume. Default: /run/lanyard/env.
//	LANYARD_TERMINATION_LOG  absolute path of the termination message; not created if missing. Default: /dev/termination-log.
//
// # Exit codes
//
//	0    ok               every value asked for is written
//	10   unauthenticated  the registry does not accept the pod's token
//	11   denied           no binding, a pod being deleted, or a node that cannot deliver values
//	12   unreachable      the deadline passed without an answer
//	13   configuration    an ENV variable, an argument or the token file is wrong
//	14   writing          the files could not be written
//	15   unresolved       at least one ENV has no value
//	16   unrepresentable  at least one value does not survive an env file
//	17   protocol         the answer is malformed, not complete or not the registry's
//	143  signal           SIGTERM or SIGINT came first
//
// Go's own exit code 2 would be a panic. docs/exit-codes.md tells what to do about each.
//
// # Output
//
// Standard error carries one line of JSON per try and one at the end. The termination message, which kubectl describe shows, says in at most 4,096 bytes what
// happened, which ENVs have no value and what to do. Neither ever holds a value, a token or the length of one.
//
// # Files
//
// Each container named by the request gets one env file, <container>.env, mode 0400. How the set is replaced, and what a killed run leaves, is told in
// package projection.
package agent
