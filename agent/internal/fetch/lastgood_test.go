// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"strings"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

func TestTheLogNamesWhatIsNotFresh(t *testing.T) {
	old := env("A")
	old.Secret, old.LastKnownGood = "db", time.Date(2026, 11, 30, 4, 0, 0, 0, time.UTC)
	var log strings.Builder
	if _, err := newClient(t, &script{answers: answers{values(old, env("B"))}}, &log).Resolve(t.Context(), asked); err != nil {
		t.Fatal(err)
	}
	if got := log.String(); strings.Count(got, `"level":"WARN"`) != 1 || !strings.Contains(got, `"container":"app","env":"A","secret_name":"db","fetched_at":"2026-11-30T04:00:00Z"`) || strings.Contains(got, canary) {
		t.Errorf("logged:\n%s", got)
	}
	if _, err := wire.DecodeResponse([]byte(`{"containers":[{"name":"app","envs":[{"name":"A","value":"","last_known_good":"yesterday"}]}]}`)); err == nil {
		t.Error("a time that is none was accepted")
	}
}
