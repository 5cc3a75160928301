// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/lanyard-dev/lanyard/e2e/cluster"
	"github.com/lanyard-dev/lanyard/e2e/installation"
)

const (
	namespace = "billing"
	account   = "api"
	consumer  = "acme/billing"
)

// The values a pod must receive to the byte.
var values = map[string]string{ // :: ENV → value
	"STRIPE_API_KEY": "sk_live_51-dEmO \"quoted\" $HOME `x` a=b\\n ",
	"TLS_KEY":        "-----BEGIN PRIVATE KEY-----\nZGVtb25zdHJhdGlvbiBvbmx5LCBub3QgYSBrZXk=\n-----END PRIVATE KEY-----\n",
	"GREETING":       "grüße, 世界 ✓ dEmO-utf8",
	inVault:          "dEmO in Vault, never here",
}

// inVault is the ENV whose value Vault keeps.
const inVault = "DB_PASSWORD"

// rotated is the value STRIPE_API_KEY is given while the pod runs, and changed the one Vault is given for DB_PASSWORD.
const (
	rotated = "sk_live_52-dEmO rotated"
	changed = "dEmO changed in Vault alone"
)

// tour is what the demo shows, step by step.
type tour struct {
	*installation.Installation
	vault *cluster.Vault
	// The API with the sessions of two people, once they have signed in.
	owner, member *installation.API
	out           io.Writer
	step          int
}

func (t *tour) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for _, step := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"an administrator puts secrets and says who may have them", t.putSecrets},
		{"two people sign in at an OpenID provider; one becomes an owner, one a member", t.signIn},
		{"the member reads, the owner writes, and nobody reads a value", t.showRoles},
		{"a pod opts in; its neighbour does not", t.startPods},
		{"the pod has its ENVs, byte for byte", t.checkEnv},
		{"the neighbour was not touched", t.checkNeighbour},
		{"no value stands in any Kubernetes object", t.searchObjects},
		{"no value stands in etcd's files", t.searchFiles},
		{"a rotated secret: the running pod keeps its value, a new pod has the new one", t.rotate},
		{"a value changed in Vault alone: the running pod keeps its own, the next pod has the new one", t.changeInVault},
		{"a service account without a binding gets nothing and is told why", t.refuse},
	} {
		t.step++
		fmt.Fprintf(t.out, "\n%d. %s\n", t.step, step.title)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("step %d (%s): %w", t.step, step.title, err)
		}
	}
	return nil
}

func (t *tour) say(format string, args ...any) { fmt.Fprintf(t.out, "   "+format+"\n", args...) }

func (t *tour) putSecrets(ctx context.Context) error {
	if err := t.API.Call(ctx, "POST", "/api/v1/organizations", map[string]any{"slug": "acme", "display_name": "Acme"}, nil); err != nil {
		return err
	}
	if err := t.provide(ctx); err != nil {
		return err
	}
	envs := []map[string]any{{"name": "MODE", "value": "live"}}
	for env, value := range values {
		name := strings.ToLower(strings.ReplaceAll(env, "_", "-"))
		secret, where := map[string]any{"name": name, "storage": "local", "value": value}, "encrypted here"
		if env == inVault {
			secret, where = map[string]any{"name": name, "provider_id": "vault", "remote_path": "kv/billing/db", "remote_key": "password"}, "in Vault, at kv/billing/db"
		}
		if err := t.API.Call(ctx, "POST", "/api/v1/organizations/acme/secrets", secret, nil); err != nil {
			return err
		}
		t.say("secret acme/%s: %s", name, where)
		envs = append(envs, map[string]any{"name": env, "secret": name})
	}
	err := t.API.Call(ctx, "POST", "/api/v1/organizations/acme/consumers", map[string]any{
		"name": "billing", "kind": "service", "envs": envs,
		"bindings": []map[string]any{{"cluster": installation.ClusterName, "namespace": namespace, "service_account": account}},
	}, nil)
	if err != nil {
		return err
	}
	t.say("consumer %s: %d ENVs, for service account %s/%s", consumer, len(envs), namespace, account)
	return nil
}

func (t *tour) startPods(ctx context.Context) error {
	if err := t.Namespace(ctx, namespace, account); err != nil {
		return err
	}
	if _, err := t.Create(ctx, t.Pod(namespace, "neighbour", account, "")); err != nil {
		return err
	}
	began := time.Now()
	if _, err := t.Create(ctx, t.Pod(namespace, "billing", account, consumer)); err != nil {
		return err
	}
	for _, name := range []string{"billing", "neighbour"} {
		if _, err := t.Running(ctx, namespace, name); err != nil {
			return err
		}
	}
	t.say("both run after %s", time.Since(began).Round(100*time.Millisecond))
	return nil
}

func (t *tour) checkEnv(ctx context.Context) error { return t.expect(ctx, "billing", values) }

func (t *tour) expect(ctx context.Context, pod string, want map[string]string) error {
	env, err := t.printed(ctx, pod)
	if err != nil {
		return err
	}
	for name, value := range want {
		if string(env[name]) != value {
			return fmt.Errorf("ENV %s of pod %s is not what was put", name, pod)
		}
		t.say("%s: %d bytes, equal", name, len(value))
	}
	if string(env["MODE"]) != "live" {
		return fmt.Errorf("the plain ENV MODE of pod %s is missing", pod)
	}
	return nil
}

// printed returns the environment a pod printed, as soon as it has: a pod counts as running a moment before its first line can be read.
func (t *tour) printed(ctx context.Context, pod string) (map[string][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		env, err := t.Env(ctx, namespace, pod, "app")
		if err == nil {
			return env, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-again.C:
		}
	}
}

func (t *tour) checkNeighbour(ctx context.Context) error {
	pod, err := t.Running(ctx, namespace, "neighbour")
	if err != nil {
		return err
	}
	touched := slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return strings.HasPrefix(v.Name, "lanyard") })
	if touched || len(pod.Spec.InitContainers) > 0 || len(pod.Spec.Containers[0].Env) > 0 {
		return fmt.Errorf("the pod without the label was changed")
	}
	env, err := t.printed(ctx, "neighbour")
	if err != nil {
		return err
	}
	for name := range values {
		if _, leaked := env[name]; leaked {
			return fmt.Errorf("the neighbour has ENV %s", name)
		}
	}
	t.say("no init container, no volume, no ENV of ours")
	return nil
}

func (t *tour) searchObjects(ctx context.Context) error {
	out, err := t.Cluster.Kubectl(ctx, "get", "all,secrets,cm,events", "-A", "-o", "yaml").Output()
	if err != nil {
		return fmt.Errorf("listing every object: %w", err)
	}
	if found := search(out); found != "" {
		return fmt.Errorf("the value of %s stands in a Kubernetes object", found)
	}
	t.say("searched %d KiB of YAML, also for the values in base64", len(out)>>10)
	return nil
}

func (t *tour) searchFiles(ctx context.Context) error {
	files, size, err := t.StoredFiles(ctx, func(content []byte) error {
		if found := search(content); found != "" {
			return fmt.Errorf("the value of %s stands in etcd's files", found)
		}
		return nil
	})
	if err != nil {
		return err
	}
	t.say("searched %d files, %d KiB", files, size>>10)
	return nil
}

// search returns the ENV whose value, or a distinctive line of it, content holds in clear or in base64.
func search(content []byte) string {
	for env, value := range values {
		for line := range strings.Lines(value) {
			line = strings.TrimSuffix(line, "\n")
			if len(line) < 16 || strings.HasPrefix(line, "-----") {
				continue
			}
			encoded := base64.StdEncoding.EncodeToString([]byte(line))
			if bytes.Contains(content, []byte(line)) || bytes.Contains(content, []byte(strings.TrimRight(encoded, "=")[:len(encoded)-4])) {
				return env
			}
		}
	}
	return ""
}

func (t *tour) rotate(ctx context.Context) error {
	if err := t.API.Call(ctx, "PATCH", "/api/v1/organizations/acme/secrets/stripe-api-key", map[string]any{"value": rotated}, nil); err != nil {
		return err
	}
	if err := t.expect(ctx, "billing", values); err != nil {
		return err
	}
	if err := t.Delete(ctx, namespace, "billing"); err != nil {
		return err
	}
	if _, err := t.Create(ctx, t.Pod(namespace, "billing", account, consumer)); err != nil {
		return err
	}
	if _, err := t.Running(ctx, namespace, "billing"); err != nil {
		return err
	}
	t.say("recreated:")
	return t.expect(ctx, "billing", map[string]string{"STRIPE_API_KEY": rotated, "TLS_KEY": values["TLS_KEY"]})
}

func (t *tour) refuse(ctx context.Context) error {
	_, err := t.Create(ctx, t.Pod(namespace, "stranger", "default", consumer))
	if err == nil {
		return fmt.Errorf("a pod of an unbound service account was admitted")
	}
	t.say("%v", err)
	return nil
}
