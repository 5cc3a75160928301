// SPDX-License-Identifier: Apache-2.0

// Package agent is the init agent: it runs once, as an init container of a pod, proves the pod's identity to the registry, fetches the values the pod may
// have and writes them where the kubelet reads ENV values from, or where a container finds its files. Then it ends, and nothing of it stays beside the
// application. Where a container's command is wrapped, the same program, in a volume, starts it: with values that the init agent wrote (the exec delivery, see
// [Exec]), or with values that it fetches for that container alone, in a pod that needs no init agent (the direct delivery, see [Direct]).
//
// Asked to keep files up to date, it stays as a native sidecar ([Sidecar]), looks for other values from time to time, replaces the files as a whole and tells their
// containers.
//
// It hands over every value asked for or none. It takes nothing from the machine it runs on: no system certificates, no proxy, no file but its token.
//
// # Environment
//
// The injector writes these variables into the pod; none is secret. There are no flags. Of the arguments, "exec -- command…" and "direct -- command…" stand in wrapped
// containers, whose command gets none of these variables, and "started" is the sidecar's startup probe.
//
//	LANYARD_MODE             empty; or "verify": fetch nothing, and fail unless LANYARD_PROOF is set, as the second init container does where asked for; or "sidecar":
//	                         stay and refresh the files, for which every delivery must be file.
//	LANYARD_PROOF            set by the kubelet from the env file _proof.env, which every run that writes anything writes too.
//	LANYARD_URL              https URL of the registry's workload listener, without a path. Required. End the host with a dot to spare the
//	                         resolver the search domains.
//	LANYARD_SERVER_NAME      name the registry's certificate must be for. Default: the URL's host.
//	LANYARD_CA               PEM bundle of the authorities that may have signed it. Required; the system's are never used.
//	LANYARD_REQUEST          what to ask for, a wire.ResolveRequest as JSON. Required.
//	LANYARD_DEADLINE         how long to try, a Go duration of at most 10m. Default: 2m.
//	LANYARD_TOKEN_FILE       absolute path of the pod's projected token, read again at every try. Default: /run/lanyard/token/token.
//	LANYARD_ENV_DIR          absolute path of the directory for env files, a memory-backed volume. Default: /run/lanyard/env.
//	LANYARD_BIN_DIR          absolute path of the directory the agent copies itself to, if a command is wrapped; or "none": there is no need to. Default:
//	                         /run/lanyard/bin.
//	LANYARD_VALUES_DIR       absolute path of the directory with one memory-backed volume for each container of the exec and file deliveries; in a wrapped
//	                         container, of its own volume. Default: /run/lanyard/values.
//	LANYARD_TERMINATION_LOG  absolute path of the termination message; not created if missing. Default: /dev/termination-log.
//	LANYARD_FILES_MODE       mode of files of the file delivery: 0444, 0440 or 0400, NAME=MODE for single ones, or both, separated by commas. Default: 0444.
//	LANYARD_FILES_BUNDLE     formats of files with all values beside them: json, dotenv, properties, separated by commas. Default: none.
//	LANYARD_REFRESH          how often the sidecar looks for other values, a Go duration from 10s to 24h. Required in that mode.
//	LANYARD_REFRESH_HTTP     http URL on 127.0.0.1 or [::1] to POST to after files were replaced; a status of 2xx is success. At most one of this and the next two.
//	LANYARD_REFRESH_SIGNAL   signal for the first process of each container after its files were replaced. Needs a shared process namespace and the same user.
//	LANYARD_REFRESH_RESTART  "true": exit with 20 after files were replaced, for which the kubelet restarts the pod's containers.
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
//	16   unrepresentable  at least one value does not survive its container's delivery
//	17   protocol         the answer is malformed, not complete or not the registry's
//	18   node             the node's kubelet does not set ENVs from env files
//	19   values           a wrapped container's values cannot be read
//	20   restart          the sidecar found other values, and the pod's containers are to be restarted
//	126  unrunnable       a wrapped container's command cannot be run
//	127  notfound         a wrapped container's command was not found
//	143  signal           SIGTERM or SIGINT came first
//
// Go's own exit code 2 would be a panic. docs/exit-codes.md tells what to do about each.
//
// # Output
//
// Standard error of the init agent carries one line of JSON per try and one at the end; of the sidecar, one for each change and each failure. The termination message, which kubectl describe shows, says in at most 4,096 bytes what
// happened, which ENVs have no value and what to do. In a wrapped container the agent says nothing unless the command cannot be run, and then one line there
// and in the termination message; with the direct delivery also what went wrong with a try. None of it ever holds a value, a token or the length of one.
//
// # Files
//
// A container of the envfile delivery gets one env file, <container>.env, mode 0400. In the volumes of the others, which nothing else mounts, files have mode
// 0444, or LANYARD_FILES_MODE with the file delivery: "environ" for the exec delivery (package execfile), one called like each ENV for the file delivery. How the files are replaced, and what a killed
// run leaves, is told in package projection. Those of a sidecar are links, all replaced by one rename.
package agent
