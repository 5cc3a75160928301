// SPDX-License-Identifier: Apache-2.0

package workload_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/workload"
)

// onePod is an API server with one pod, an audit log, and what happened in which order.
type onePod struct {
	pod    *corev1.Pod
	err    error // of reading the pod
	status int
	answer string
	denied error // by the audit log
	events []audit.Event
	said   []string
}

func (o *onePod) Pod(context.Context, string, string) (*corev1.Pod, error) { return o.pod, o.err }

func (o *onePod) Record(_ context.Context, events ...audit.Event) error {
	o.events = append(o.events, events...)
	o.said = append(o.said, "audit")
	return o.denied
}

func (o *onePod) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	o.said = append(o.said, fmt.Sprintf("%s %s %s", r.Method, r.URL.Path, body))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(o.status)
	_, _ = io.WriteString(w, o.answer)
}

func status(code int, reason, cause string) string {
	return fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","code":%d,"reason":%q,"details":{"causes":[{"reason":%q}]}}`, code, reason, cause)
}

func TestAPodIsStoppedAsItsControllerAndBudgetAllow(t *testing.T) {
	const path = "/api/v1/namespaces/shop/pods/web"
	evict := "POST " + path + `/eviction {"kind":"Eviction","apiVersion":"policy/v1","metadata":{"name":"web","namespace":"shop"},"deleteOptions":{"preconditions":{"uid":"u1"}}}`
	dry := strings.Replace(evict, `"u1"}`, `"u1"},"dryRun":["All"]`, 1)
	remove := "DELETE " + path + ` {"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"u1"}}`
	controlled := func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Controller: new(true)}}
	}
	for name, tc := range map[string]struct {
		pod     func(*corev1.Pod)
		err     error
		cluster string
		options workload.StopOptions
		status  int
		answer  string
		denied  error
		want    workload.Outcome
		said    []string
	}{
		"evicted, and audited before":         {pod: controlled, want: workload.Stopped, said: []string{"audit", evict}},
		"checked by the API server":           {pod: controlled, options: workload.StopOptions{DryRun: true}, want: workload.WouldStop, said: []string{dry}},
		"deleted by force":                    {pod: controlled, options: workload.StopOptions{Force: true}, want: workload.Stopped, said: []string{"audit", remove}},
		"bare":                                {pod: func(*corev1.Pod) {}, want: workload.NoController},
		"bare, by force":                      {pod: func(*corev1.Pod) {}, options: workload.StopOptions{Force: true}, want: workload.Stopped, said: []string{"audit", remove}},
		"not there":                           {err: apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, "web"), want: workload.Gone},
		"replaced":                            {pod: func(p *corev1.Pod) { controlled(p); p.UID = "u2" }, want: workload.Gone},
		"terminating":                         {pod: func(p *corev1.Pod) { controlled(p); p.DeletionTimestamp = &metav1.Time{Time: time.Now()} }, want: workload.Gone},
		"finished":                            {pod: func(p *corev1.Pod) { controlled(p); p.Status.Phase = corev1.PodFailed }, want: workload.Gone},
		"of another cluster":                  {pod: controlled, cluster: "us", want: workload.OtherCluster},
		"unreadable":                          {err: errors.New("odd"), want: workload.Failed},
		"protected by a budget":               {pod: controlled, status: 429, answer: status(429, "TooManyRequests", "DisruptionBudget"), want: workload.DisruptionBudget, said: []string{"audit", evict}},
		"too much for the API server":         {pod: controlled, status: 429, answer: status(429, "TooManyRequests", ""), want: workload.Failed, said: []string{"audit", evict}},
		"not in a namespace we may":           {pod: controlled, status: 403, answer: status(403, "Forbidden", ""), want: workload.Forbidden, said: []string{"audit", evict}},
		"replaced between reading and asking": {pod: controlled, status: 409, answer: status(409, "Conflict", ""), want: workload.Gone, said: []string{"audit", evict}},
		"gone between reading and asking":     {pod: controlled, status: 404, answer: status(404, "NotFound", ""), want: workload.Gone, said: []string{"audit", evict}},
		"not audited":                         {pod: controlled, denied: audit.ErrTimeout, want: "", said: []string{"audit"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := &onePod{err: tc.err, status: tc.status, answer: tc.answer, denied: tc.denied}
			if o.status == 0 {
				o.status, o.answer = 201, `{"kind":"Status","apiVersion":"v1","status":"Success"}`
			}
			if tc.pod != nil {
				o.pod = new(corev1.Pod)
				o.pod.UID = "u1"
				tc.pod(o.pod)
			}
			server := httptest.NewServer(o)
			defer server.Close()
			api, err := workload.Dial(&rest.Config{Host: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			w := store.Workload{ID: "u1", OrgID: "o1", Cluster: "eu", Namespace: "shop", Pod: "web"}
			if tc.cluster != "" {
				w.Cluster = tc.cluster
			}
			s := &workload.Stopper{Cluster: api, Name: "eu", Pods: o, Audit: o}
			got, err := s.Stop(t.Context(), store.Act{Actor: "user:alice", RequestID: "r"}, w, tc.options)
			if got != tc.want || !errors.Is(err, tc.denied) {
				t.Errorf("%q, %v; want %q", got, err, tc.want)
			}
			if workload.Outcomes[got] == "" && tc.denied == nil {
				t.Errorf("outcome %q is not in the catalogue", got)
			}
			if have, want := strings.Join(o.said, "\n"), strings.Join(tc.said, "\n"); have != want {
				t.Errorf("happened:\n%s\nwant:\n%s", have, want)
			}
			for _, e := range o.events {
				if e.Action != audit.WorkloadStop || e.OrgID != "o1" || e.ResourceName != "shop/web" || e.ResourceID != "u1" || e.Actor != "user:alice" || (e.Reason == "forced") != tc.options.Force {
					t.Errorf("recorded %+v", e)
				}
			}
		})
	}
}
