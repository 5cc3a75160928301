// SPDX-License-Identifier: Apache-2.0

package injector

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	core "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

// invalid is how an API server refuses a template that lost what its field should hold.
func invalid(field string) string {
	return `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422,"details":{"causes":[{"reason":"FieldValueRequired","message":"required","field":"` + field + `"}]}}`
}

func TestFeatureGatesAreTriedInADryRun(t *testing.T) {
	const forbidden = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`
	drop := func(change func(*corev1.PodSpec)) func(*corev1.PodTemplate) (int, string) {
		return func(made *corev1.PodTemplate) (int, string) {
			change(&made.Template.Spec)
			text, _ := json.Marshal(made)
			return http.StatusCreated, string(text)
		}
	}
	refuse := func(code int, status string, when func(*corev1.PodSpec) bool) func(*corev1.PodTemplate) (int, string) {
		return func(made *corev1.PodTemplate) (int, string) {
			if when(&made.Template.Spec) {
				return code, status
			}
			return drop(func(*corev1.PodSpec) {})(made)
		}
	}
	envFiles := func(s *corev1.PodSpec) bool { return len(s.Containers[0].Env) > 0 }
	images := func(s *corev1.PodSpec) bool { return len(s.Volumes) > 0 && s.Volumes[0].Image != nil }
	for name, tc := range map[string]struct {
		server func(*corev1.PodTemplate) (code int, body string)
		want   gates
		err    string
	}{
		"all are on": {server: drop(func(*corev1.PodSpec) {})},
		"env files are refused": {
			server: refuse(422, invalid("template.spec.containers[0].env[0].valueFrom"), envFiles),
			want:   gates{envFiles: "the API server does not take fileKeyRef: its feature gate EnvFiles is off"},
		},
		"images are refused": {
			server: refuse(422, invalid("template.spec.volumes[0]"), images),
			want:   gates{imageVolumes: "the API server does not take image: its feature gate ImageVolume is off"},
		},
		"a rule is dropped": {
			server: drop(func(s *corev1.PodSpec) { s.Containers[0].RestartPolicyRules = nil }),
			want:   gates{restarts: "the API server does not take restartPolicyRules: its feature gate RestartAllContainersOnContainerExits is off"},
		},
		"another field is refused":   {server: refuse(422, invalid("template.metadata.labels"), envFiles), err: "trying fileKeyRef in a dry run"},
		"a policy forbids templates": {server: refuse(403, forbidden, images), err: "trying image in a dry run"},
		"an answer without containers": {
			server: drop(func(s *corev1.PodSpec) { s.Containers = nil }),
			want: gates{
				"the API server does not take fileKeyRef: its feature gate EnvFiles is off", "the API server does not take image: its feature gate ImageVolume is off",
				"the API server does not take restartPolicyRules: its feature gate RestartAllContainersOnContainerExits is off",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var made corev1.PodTemplate
				if err := json.NewDecoder(r.Body).Decode(&made); err != nil || r.URL.Query().Get("dryRun") != "All" || r.URL.Path != "/api/v1/namespaces/lanyard/podtemplates" {
					t.Errorf("%s, %v", r.URL, err)
				}
				code, body := tc.server(&made)
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(code)
				_, _ = io.WriteString(w, body)
			}))
			defer server.Close()
			client, err := core.NewForConfig(&rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
			if err != nil {
				t.Fatal(err)
			}
			got, err := tryGates(t.Context(), client.PodTemplates("lanyard"))
			if got != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("got %+v, %v, want %+v, %s", got, err, tc.want, tc.err)
			}
		})
	}
}
