// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const twoWorkloads = `{"items": [
 {"id": "u1", "organization_id": "o", "cluster": "default", "namespace": "billing", "pod": "api-1", "node": "n1", "service_account": "api", "received_at": "2026-03-01T12:00:00Z", "stale": true, "containers": [
  {"name": "app", "consumer": "billing-api", "received_at": "2026-03-01T12:00:00Z", "envs": [
   {"name": "STRIPE", "secret": "stripe", "secret_id": "s1", "version": 1, "stale": "version"}, {"name": "OLD", "secret_id": "s2", "version": 3, "stale": "deleted"}, {"name": "VAULT", "secret": "db", "secret_id": "s3"},
   {"name": "SILENT", "secret": "mq", "secret_id": "s4", "last_known_good": true, "fetched_at": "2026-03-01T11:30:00.5Z"}]}]}]}`

// registryOfPods answers like a registry that knows one pod, and keeps the queries it was sent.
func registryOfPods(t *testing.T, queries *[]string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*queries = append(*queries, r.URL.Query().Encode())
		w.Header().Set("Content-Type", "application/json")
		switch path.Base(r.URL.Path) {
		case "stop":
			_, _ = w.Write([]byte(`{"id": "u1", "namespace": "billing", "pod": "api-1", "outcome": "disruption_budget", "message": "Not now."}`))
			return
		case "stop-workloads":
			outcome := "stopped"
			if r.URL.Query().Get("dry_run") == "true" {
				outcome = "would_stop"
			}
			_, _ = w.Write([]byte(`{"items": [{"id": "u1", "namespace": "billing", "pod": "api-1", "outcome": "` + outcome + `", "message": "It goes."}], "more": false}`))
			return
		}
		if r.URL.Query().Get("pod") == "gone" {
			_, _ = w.Write([]byte(`{"items": []}`))
			return
		}
		_, _ = w.Write([]byte(twoWorkloads))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestWorkloadsAreShownWithWhatIsStale(t *testing.T) {
	var queries []string
	server := registryOfPods(t, &queries)
	for name, tt := range map[string]struct {
		args []string
		code ExitCode
		want string
	}{
		"a list": {[]string{"workload", "list", "--secret", "stripe", "--stale", "-n", "billing"}, OK, `
NAMESPACE   POD     CONSUMERS     STALE       RECEIVED
billing     api-1   billing-api   stripe,s2   2026-03-01T12:00:00Z
`},
		"one pod": {[]string{"workload", "get", "billing/api-1"}, OK, `
CONTAINER   CONSUMER      ENV      SECRET   VERSION   STALE     LAST KNOWN GOOD        RECEIVED
app         billing-api   STRIPE   stripe   1         version   -                      2026-03-01T12:00:00Z
app         billing-api   OLD      s2       3         deleted   -                      2026-03-01T12:00:00Z
app         billing-api   VAULT    db       -         -         -                      2026-03-01T12:00:00Z
app         billing-api   SILENT   mq       -         -         2026-03-01T11:30:00Z   2026-03-01T12:00:00Z
`},
		"a name": {[]string{"workload", "get", "billing/api-1", "-o", "name"}, OK, "\nworkload/billing/api-1\n"},
		"a pod that is protected": {[]string{"workload", "stop", "billing/api-1", "--yes"}, Conflict, `
NAMESPACE   POD     OUTCOME             MESSAGE
billing     api-1   disruption_budget   Not now.
lanyard: error: 1 of 1 pods are not stopped
`},
		"a secret's pods": {[]string{"secret", "stop-workloads", "stripe", "--stale", "--yes"}, OK, `
NAMESPACE   POD     OUTCOME   MESSAGE
billing     api-1   stopped   It goes.
`},
		"a secret's pods, unconfirmed": {[]string{"secret", "stop-workloads", "stripe"}, Usage, `
NAMESPACE   POD     OUTCOME      MESSAGE
billing     api-1   would_stop   It goes.
lanyard: error: Stop the pods of these that can be stopped (1)? Nobody is there to answer: standard input is not a terminal
lanyard: hint: give --yes to do it without being asked
`},
		"no pod": {[]string{"workload", "get", "billing/gone"}, NotFound, `
lanyard: error: no running pod billing/gone received values of this organization
` + "lanyard: hint: `kubectl describe pod` tells why a pod received nothing\n"},
	} {
		t.Run(name, func(t *testing.T) {
			code, said := run(t.Context(), t, server, nil, tt.args...)
			if code != tt.code {
				t.Errorf("exit code %d", code)
			}
			if diff := cmp.Diff(strings.TrimPrefix(tt.want, "\n"), said); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if all := strings.Join(queries, "\n"); !strings.Contains(all, "namespace=billing&page_size=200&secret=stripe&stale=true") {
		t.Errorf("asked for %s", all)
	}
}
