// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// authority is the PEM of an authority that ends at a time.
func authority(t *testing.T, ends time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: ends.Add(-time.Hour), NotAfter: ends, IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// apiObject is an object as the API server writes it.
type apiObject = map[string]any

// healthy is an installation as the chart makes it, in parts that a test changes.
func healthy(ca []byte) map[string]apiObject {
	meta := func(name, component string) apiObject {
		return apiObject{"name": name, "namespace": "lanyard-system", "labels": apiObject{"app.kubernetes.io/part-of": "lanyard", "app.kubernetes.io/component": component}}
	}
	workload := func(kind, component string, replicas, ready int) apiObject {
		return apiObject{
			"kind": kind, "metadata": meta("lanyard-"+component, component), "status": apiObject{"readyReplicas": ready},
			"spec": apiObject{"replicas": replicas, "template": apiObject{"spec": apiObject{"serviceAccountName": "lanyard-" + component}}},
		}
	}
	return map[string]apiObject{
		"webhook": {"kind": "MutatingWebhookConfiguration", "metadata": meta("lanyard-injector", "injector"), "webhooks": []apiObject{
			{"name": "inject.lanyard.dev", "failurePolicy": "Fail", "clientConfig": apiObject{"caBundle": ca}},
		}},
		"policy":   {"kind": "ValidatingAdmissionPolicy", "metadata": meta("lanyard-guard", "guard"), "spec": apiObject{"failurePolicy": "Fail"}},
		"binding":  {"kind": "ValidatingAdmissionPolicyBinding", "metadata": meta("lanyard-guard", "guard"), "spec": apiObject{"policyName": "lanyard-guard", "validationActions": []string{"Deny"}}},
		"injector": workload("Deployment", "injector", 2, 2),
		"registry": workload("StatefulSet", "registry", 1, 1),
	}
}

const goodNodes = "a\t\tlinux\tv1.37.2\tcontainerd://2.1.4\nb\ttrue\tlinux\tv1.20.0\tdocker://19\nw\t\twindows\tv1.20.0\tcontainerd://1.7\n"

// cluster puts a kubectl into the PATH that answers with objects, nodes and what auth can-i says; a kubectl that knows no other question.
func cluster(t *testing.T, objects map[string]apiObject, nodes, canI string) {
	t.Helper()
	dir := t.TempDir()
	var items []apiObject
	for _, o := range objects {
		items = append(items, o)
	}
	text, err := json.Marshal(apiObject{"kind": "List", "items": items})
	if err != nil {
		t.Fatal(err)
	}
	script := `#!/bin/sh
dir=` + dir + `
[ "$1 $2" = "--context there" ] || { echo "no context: $*" >&2; exit 1; }
shift 2
case "$*" in
"get mutatingwebhookconfigurations,"*" -A -l app.kubernetes.io/part-of=lanyard -o json") cat $dir/objects ;;
"get nodes -o jsonpath="*) cat $dir/nodes ;;
"auth can-i --as system:serviceaccount:lanyard-system:lanyard-"*) . $dir/can-i ;;
*) echo "unknown: $*" >&2; exit 1 ;;
esac
`
	for name, content := range map[string]string{"objects": string(text), "nodes": nodes, "can-i": canI, "kubectl": script} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func TestTheDoctorLooksAtAnInstallation(t *testing.T) {
	year := time.Now().Add(365 * 24 * time.Hour)
	ca := authority(t, year)
	const yes = "echo yes"
	set := func(part, path string, value any) func(map[string]apiObject) {
		return func(all map[string]apiObject) {
			at := all[part]
			names := strings.Split(path, ".")
			for _, name := range names[:len(names)-1] {
				at = at[name].(apiObject)
			}
			at[names[len(names)-1]] = value
		}
	}
	without := func(part string) func(map[string]apiObject) {
		return func(all map[string]apiObject) { delete(all, part) }
	}
	hook := func(policy string, bundle []byte) func(map[string]apiObject) {
		return set("webhook", "webhooks", []apiObject{{"failurePolicy": policy, "clientConfig": apiObject{"caBundle": bundle}}})
	}
	same := func(map[string]apiObject) {}
	for name, tc := range map[string]struct {
		change      func(map[string]apiObject)
		nodes, canI string
		code        ExitCode
		want        string // check, result and a part of the detail
	}{
		"as the chart makes it":            {same, goodNodes, yes, OK, "webhook|ok|lanyard-injector fails closed"},
		"an authority with time":           {same, goodNodes, yes, OK, "authority|ok|valid until"},
		"a guard that denies":              {same, goodNodes, yes, OK, "guard|ok|lanyard-guard"},
		"replicas that are ready":          {same, goodNodes, yes, OK, "injector|ok|2 of 2"},
		"nodes that count":                 {same, goodNodes, yes, OK, "nodes|ok|1 can do every delivery"},
		"rights":                           {same, goodNodes, yes, OK, "rights|ok|"},
		"no webhook":                       {without("webhook"), goodNodes, yes, CheckFailed, "webhook|failed|nothing is injected"},
		"a webhook that fails open":        {hook("Ignore", ca), goodNodes, yes, CheckFailed, "webhook|failed|failurePolicy Ignore"},
		"a webhook without authority":      {hook("Fail", nil), goodNodes, yes, CheckFailed, "webhook|failed|no caBundle"},
		"an authority that ended":          {hook("Fail", authority(t, time.Now().Add(-time.Minute))), goodNodes, yes, CheckFailed, "authority|failed|it expired at"},
		"an authority that ends soon":      {hook("Fail", authority(t, time.Now().Add(time.Hour))), goodNodes, yes, OK, "authority|warning|it expires at"},
		"an old and a new authority":       {hook("Fail", append(authority(t, time.Now().Add(-time.Minute)), ca...)), goodNodes, yes, OK, "authority|ok|"},
		"no guard":                         {without("policy"), goodNodes, yes, OK, "guard|warning|guard.enabled"},
		"a guard that is not bound":        {without("binding"), goodNodes, yes, CheckFailed, "guard|failed|bound nowhere"},
		"a guard of another policy":        {set("binding", "spec.policyName", "other"), goodNodes, yes, CheckFailed, "guard|failed|bound nowhere"},
		"a guard that only warns":          {set("binding", "spec.validationActions", []string{"Warn", "Audit"}), goodNodes, yes, CheckFailed, "guard|failed|without the action Deny"},
		"a guard that fails open":          {set("policy", "spec.failurePolicy", "Ignore"), goodNodes, yes, CheckFailed, "guard|failed|failurePolicy Ignore"},
		"no injector":                      {without("injector"), goodNodes, yes, CheckFailed, "injector|failed|there is none"},
		"an injector that is not ready":    {set("injector", "status.readyReplicas", 0), goodNodes, yes, CheckFailed, "injector|failed|0 of 2 replicas are ready: kubectl -n lanyard-system describe deployment lanyard-injector"},
		"an injector that is half there":   {set("injector", "status.readyReplicas", 1), goodNodes, yes, OK, "injector|warning|1 of 2"},
		"a registry that is scaled to 0":   {set("registry", "spec.replicas", 0), goodNodes, yes, CheckFailed, "registry|failed|scaled to 0"},
		"a registry without its store":     {set("registry", "status", apiObject{}), goodNodes, yes, CheckFailed, "registry|failed|0 of 1"},
		"old nodes":                        {same, goodNodes + "c\t\tlinux\tv1.34.1\tcontainerd://2.1.4\n", yes, OK, "nodes|warning|1 of 2 cannot do the delivery envfile, so auto chooses exec (c: its kubelet \"v1.34.1\" is older than 1.35)"},
		"old runtimes":                     {same, goodNodes + "c\t\tlinux\tv1.37.1\tcontainerd://1.7.1\n", yes, OK, "nodes|ok|2 can do envfile, exec and file; 1 of them cannot do direct"},
		"no node":                          {same, "", yes, CheckFailed, "nodes|failed|no schedulable Linux node"},
		"a right that is missing":          {same, goodNodes, `case "$*" in *tokenreviews*) echo no; exit 1 ;; *) echo yes ;; esac`, CheckFailed, "rights|failed|missing: registry: create tokenreviews.authentication.k8s.io;"},
		"somebody who may not ask":         {same, goodNodes, `echo "Error from server (Forbidden): cannot impersonate" >&2; exit 1`, OK, "rights|skipped|you may not ask"},
		"a cluster without any of it":      {func(all map[string]apiObject) { clear(all) }, goodNodes, yes, CheckFailed, "registry|failed|there is none"},
		"a list that is not of the schema": {set("injector", "spec", "x"), goodNodes, yes, Failure, "cluster|failed|not a list of objects"},
	} {
		t.Run(name, func(t *testing.T) {
			all := healthy(ca)
			tc.change(all)
			cluster(t, all, tc.nodes, tc.canI)
			code, out := run(t.Context(), t, "http://127.0.0.1:1", nil, "doctor", "--cluster", "--kube-context", "there", "-o", "jsonpath={range .items[*]}{.check}|{.result}|{.detail}{\"\\n\"}{end}")
			part := strings.SplitN(tc.want, "|", 3)
			found := slices.ContainsFunc(strings.Split(out, "\n"), func(line string) bool {
				return strings.HasPrefix(line, part[0]+"|"+part[1]+"|") && strings.Contains(line, part[2])
			})
			if code != tc.code || !found {
				t.Errorf("exit code %d, want %d with %q:\n%s", code, tc.code, tc.want, out)
			}
		})
	}
	t.Run("no kubectl", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if code, out := run(t.Context(), t, "http://127.0.0.1:1", nil, "doctor", "--cluster"); code != Failure || !strings.Contains(out, "there is no kubectl") {
			t.Errorf("%d: %s", code, out)
		}
	})
	t.Run("a kubectl that fails", func(t *testing.T) {
		cluster(t, healthy(ca), "", yes)
		if code, out := run(t.Context(), t, "http://127.0.0.1:1", nil, "doctor", "--cluster", "--kube-context", "elsewhere"); code != Unavailable || !strings.Contains(out, "kubectl: no context: --context elsewhere") {
			t.Errorf("%d: %s", code, out)
		}
	})
	t.Run("a context without a cluster", func(t *testing.T) {
		if code, _ := run(t.Context(), t, "http://127.0.0.1:1", nil, "doctor", "--kube-context", "there"); code != Usage {
			t.Errorf("exit code %d", code)
		}
	})
}
