// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

// words are what became of a batch, as "name action version".
func words(results []store.BatchResult) (out []string) {
	for _, r := range results {
		out = append(out, fmt.Sprint(r.Name, " ", r.Action, " ", r.Version))
	}
	return out
}

func TestABatchIsPutAsAWholeWithAnEventForEachSecret(t *testing.T) {
	t.Parallel()
	s := storetest.Start(t)
	ctx := t.Context()
	o := organization(t, s, "acme")
	local(t, s, o.ID, "same", "v")
	local(t, s, o.ID, "other", "old")
	batch := []store.NewSecret{{Name: "new", Value: secretValue("v"), Labels: map[string]string{"a": "b"}}, {Name: "same", Value: secretValue("v")}, {Name: "other", Value: secretValue("new")}, {Name: "empty"}}
	plan, err := s.PlanSecrets(ctx, o.ID, batch, store.ExistingPut)
	if diff := cmp.Diff([]string{"new created 0", "same updated 0", "other updated 0", "empty created 0"}, words(plan)); err != nil || diff != "" {
		t.Errorf("plan, %v (-want +got):\n%s", err, diff)
	}
	done, err := s.PutSecrets(ctx, act, o.ID, batch, store.ExistingPut)
	if diff := cmp.Diff([]string{"new created 1", "same unchanged 1", "other updated 2", "empty created 0"}, words(done)); err != nil || diff != "" {
		t.Errorf("done, %v (-want +got):\n%s", err, diff)
	}
	events, err := s.AuditEvents(ctx, o.ID, store.AuditQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, e := range events.Items[:3] {
		told = append(told, fmt.Sprint(e.Action, " ", e.ResourceName, " ", e.Version))
	}
	if diff := cmp.Diff([]string{"secret.create empty 0", "secret.put other 2", "secret.create new 1"}, told); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if events.Items[3].ResourceName != "other" || events.Items[3].Action != audit.SecretCreate {
		t.Errorf("an event for what did not change: %+v", events.Items[3])
	}
	if _, _, err := s.VerifyAudit(ctx, o.ID); err != nil {
		t.Error(err)
	}
	view, err := s.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{"new": "v", "other": "new"}
	for _, r := range done {
		if want, ok := secrets[r.Name]; ok {
			if v, err := view.OpenVersion(o.ID, r.ID, r.Version); err != nil || string(v.Reveal()) != want {
				t.Errorf("%s has another value, %v", r.Name, err)
			}
		}
	}
}

func TestOneRefusalKeepsTheWholeBatchFromBeingPut(t *testing.T) {
	t.Parallel()
	s := storetest.Start(t)
	ctx := t.Context()
	o := organization(t, s, "acme")
	local(t, s, o.ID, "taken", "v")
	gone := local(t, s, o.ID, "gone", "v")
	if err := s.DeleteSecret(ctx, act, o.ID, gone.ID, 0, false); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		existing store.Existing
		refused  []string
	}{
		"taken names":             {store.ExistingFail, []string{"taken refused 0", "gone refused 0"}},
		"deleted ones can be put": {store.ExistingPut, []string{"gone refused 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.PutSecrets(ctx, act, o.ID, []store.NewSecret{{Name: "free", Value: secretValue("v")}, {Name: "taken", Value: secretValue("w")}, {Name: "gone", Value: secretValue("w")}}, tc.existing)
			refused, ok := errors.AsType[*store.RefusedError](err)
			if !ok || !errors.Is(err, store.ErrExists) {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.refused, words(refused.Refused)); diff != "" {
				t.Error(diff)
			}
			if _, err := s.Secret(ctx, o.ID, "free"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("a part was put: %v", err)
			}
		})
	}
	done, err := s.PutSecrets(ctx, act, o.ID, []store.NewSecret{{Name: "free", Value: secretValue("v")}, {Name: "taken", Value: secretValue("w")}}, store.ExistingSkip)
	if diff := cmp.Diff([]string{"free created 1", "taken skipped 1"}, words(done)); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

func TestTheLargestBatchesFitOneTransaction(t *testing.T) {
	t.Parallel()
	s := storetest.Start(t)
	ctx := t.Context()
	o := organization(t, s, "acme")
	var many, large []store.NewSecret
	for i := range store.MaxBatch {
		n := store.NewSecret{Name: strings.Repeat("n", 120) + fmt.Sprint(i), Description: strings.Repeat("d", store.MaxDescription), Labels: map[string]string{}}
		for l := range store.MaxLabels {
			n.Labels[fmt.Sprint("label", l)] = strings.Repeat("l", 100)
		}
		v := redact.New([]byte(strings.Repeat("v", store.MaxBatchBytes/store.MaxBatch)))
		n.Value = &v
		many = append(many, n)
	}
	for i := range store.MaxBatchBytes / wire.MaxValueBytes {
		v := redact.New([]byte(strings.Repeat("v", wire.MaxValueBytes)))
		large = append(large, store.NewSecret{Name: fmt.Sprint("large", i), Value: &v})
	}
	for range 2 {
		for _, batch := range [][]store.NewSecret{many, large} {
			if _, err := s.PutSecrets(ctx, keyed(fmt.Sprint("key-of-", len(batch)), "x"), o.ID, batch, store.ExistingFail); err != nil {
				t.Errorf("%d secrets: %v", len(batch), err)
			}
		}
	}
	if got := store.Batches(append(many, large...)); len(got) != 2 || len(got[0]) != store.MaxBatch || len(got[1]) != len(large) {
		t.Errorf("%d batches", len(got))
	}
	for name, batch := range map[string][]store.NewSecret{
		"none":             nil,
		"too many":         append(many[:len(many):len(many)], store.NewSecret{Name: "one-more"}),
		"too large":        append(large[:len(large):len(large)], store.NewSecret{Name: "one-more", Value: secretValue("x")}),
		"a name twice":     {{Name: "a"}, {Name: "a"}},
		"a bad name":       {{Name: "a"}, {Name: "a/b"}},
		"a remote one":     {{Name: "a", Remote: &store.Remote{ProviderID: "p", Path: "p"}}},
		"a value too long": {{Name: "a", Value: secretValue(strings.Repeat("v", wire.MaxValueBytes+1))}},
	} {
		if _, err := s.PutSecrets(ctx, act, o.ID, batch, store.ExistingFail); !errors.Is(err, store.ErrInvalid) || !strings.HasPrefix(pointer(err), "/secrets") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
