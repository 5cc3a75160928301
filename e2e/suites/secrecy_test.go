// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestSecrecy puts a value nobody else has, lets a pod have it, and looks for it wherever it must not be.
func TestSecrecy(t *testing.T) {
	w := newWorld(t)
	canary := "cAnArY" + rand.Text()
	w.put("canary", canary)
	w.create(w.pod("app", w.consumer("app", map[string]string{"CANARY": "canary"})))
	w.running("app")
	w.expectEnv("app", "app", map[string]string{"CANARY": canary})
	_, _ = lanyard.Create(w.ctx, lanyard.Pod(w.namespace, "stranger", "default", w.org+"/app"))

	forms := map[string][]byte{
		"in clear":  []byte(canary),
		"in base64": []byte(base64.StdEncoding.EncodeToString([]byte(canary))[:len(canary)]),
		"in hex":    []byte(hex.EncodeToString([]byte(canary))),
	}
	search := func(where string, content []byte) {
		for form, needle := range forms {
			if bytes.Contains(content, needle) {
				t.Errorf("the value stands %s in %s", form, where)
			}
		}
	}
	for where, args := range map[string][]string{
		"Kubernetes objects":    {"get", "all,secrets,configmaps,events,mutatingwebhookconfigurations,validatingadmissionpolicies", "-A", "-o", "yaml"},
		"the registry's log":    {"logs", "-n", "lanyard", "-l", "app.kubernetes.io/component=registry", "--tail=-1"},
		"the injector's log":    {"logs", "-n", "lanyard", "-l", "app.kubernetes.io/component=injector", "--tail=-1"},
		"the init agent's log":  {"logs", "-n", w.namespace, "app", "-c", "lanyard-init"},
		"the description of it": {"describe", "pod", "-n", w.namespace, "app"},
	} {
		out, err := lanyard.Cluster.Kubectl(w.ctx, args...).Output()
		w.must(err)
		if len(out) == 0 {
			t.Errorf("%s: nothing to search", where)
		}
		search(where, out)
	}
	_, _, err := lanyard.StoredFiles(w.ctx, func(content []byte) error {
		search("etcd's files", content)
		return nil
	})
	w.must(err)
	w.must(filepath.WalkDir(lanyard.Cluster.LogDir(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err == nil {
			search("the log "+entry.Name(), content)
		} else if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}))
	for _, path := range []string{"/secrets", "/secrets/canary", "/secrets/canary/versions", "/secrets/canary/references", "/consumers", "/audit-events"} {
		var content json.RawMessage
		w.must(lanyard.API.Call(w.ctx, "GET", "/api/v1/organizations/"+w.org+path, nil, &content))
		search("the API's answer to "+path, content)
	}
}
