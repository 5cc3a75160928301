// SPDX-License-Identifier: Apache-2.0

// Package cli is the administrators' command line, lanyard.
//
// [Run] is the whole program but for the process around it. It speaks to the registry only by the generated client of package api, and to the injector's
// planner, which does no I/O, for `inject --dry-run`.
//
// # Values
//
// A value goes from standard input, a prompt without echo or a file into the body of one request, and from there nowhere: it is no argument (every
// process of the machine can read those), and no output, error or configuration file repeats it. The same holds for the credentials
// of providers and for tokens, except that `login` keeps a token in a file only its owner may read, and that `token create` prints the one it made, once.
//
// # Exit codes
//
// [ExitCodes] lists them; docs/cli.md is generated from it and from the commands.
package cli
