// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
	"github.com/lanyard-dev/lanyard/internal/kubelet"
)

// installed is what is looked at of one object, of whatever kind; what a kind does not have is empty.
type installed struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name      string            `json:"name"`
		Namespace string            `json:"namespace"`
		Labels    map[string]string `json:"labels"`
	} `json:"metadata"`
	Webhooks []struct {
		Name          string `json:"name"`
		FailurePolicy string `json:"failurePolicy"`
		ClientConfig  struct {
			CABundle []byte `json:"caBundle"`
		} `json:"clientConfig"`
	} `json:"webhooks"`
	Spec struct {
		Replicas          *int     `json:"replicas"`
		FailurePolicy     string   `json:"failurePolicy"`
		PolicyName        string   `json:"policyName"`
		ValidationActions []string `json:"validationActions"`
		Template          struct {
			Spec struct {
				ServiceAccountName string `json:"serviceAccountName"`
			} `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
	Status struct {
		ReadyReplicas int `json:"readyReplicas"`
	} `json:"status"`
}

// installation are the objects of Lanyard in a cluster.
type installation []installed

func (n installation) of(kind string) []installed {
	return slices.DeleteFunc(slices.Clone(n), func(o installed) bool { return o.Kind != kind })
}

// workload is the Deployment or StatefulSet of a component.
func (n installation) workload(component string) (installed, bool) {
	i := slices.IndexFunc(n, func(o installed) bool {
		return (o.Kind == "Deployment" || o.Kind == "StatefulSet") && o.Metadata.Labels["app.kubernetes.io/component"] == component
	})
	if i < 0 {
		return installed{}, false
	}
	return n[i], true
}

// examine looks at the installation in the cluster that kubectl speaks to. The error is that of the first failure.
func (k kubectl) examine(ctx context.Context) (findings []finding, err error) {
	var objects struct {
		Items installation `json:"items"`
	}
	kinds := "mutatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings,deployments,statefulsets"
	if err := k.list(ctx, kinds, &objects); err != nil {
		return []finding{{"cluster", "failed", err.Error()}}, err
	}
	n := objects.Items
	findings = append(findings, judgeWebhook(n), judgeAuthority(n, time.Now()), judgeGuard(n), judgeReady(n, "injector"), judgeReady(n, "registry"))
	rows, err := k.nodes(ctx)
	if err != nil {
		findings = append(findings, finding{"nodes", "skipped", err.Error()})
	} else {
		findings = append(findings, judgeNodes(rows))
	}
	findings = append(findings, examineRights(ctx, k, n))
	if ctx.Err() != nil {
		return findings, ctx.Err()
	}
	if i := slices.IndexFunc(findings, func(f finding) bool { return f.Result == "failed" }); i >= 0 {
		return findings, failed(CheckFailed, "", fmt.Errorf("%s: %s", findings[i].Check, findings[i].Detail))
	}
	return findings, nil
}

func judgeWebhook(n installation) finding {
	found := n.of("MutatingWebhookConfiguration")
	if len(found) == 0 || len(found[0].Webhooks) == 0 {
		return finding{"webhook", "failed", "there is no MutatingWebhookConfiguration of Lanyard, so nothing is injected: helm upgrade brings it back"}
	}
	name := found[0].Metadata.Name
	for _, w := range found[0].Webhooks {
		switch {
		case w.FailurePolicy != "Fail":
			return finding{"webhook", "failed", fmt.Sprintf("%s has failurePolicy %s: an opted-in pod starts without its secrets while the injector is away; helm upgrade sets Fail again", name, w.FailurePolicy)}
		case len(w.ClientConfig.CABundle) == 0:
			return finding{"webhook", "failed", name + " has no caBundle, so every opted-in pod is refused: the injector sets it once it runs; its log says what keeps it from that"}
		}
	}
	if len(found) > 1 {
		return finding{"webhook", "warning", fmt.Sprintf("there are %d installations; only %s was looked at", len(found), name)}
	}
	return finding{"webhook", "ok", name + " fails closed and has an authority"}
}

// judgeAuthority looks at the authorities that the API server verifies the injector against. The certificate itself is in a Secret, which is nobody's to read.
func judgeAuthority(n installation, now time.Time) finding {
	var last time.Time
	for _, o := range n.of("MutatingWebhookConfiguration") {
		for _, w := range o.Webhooks {
			rest := w.ClientConfig.CABundle
			for {
				var block *pem.Block
				if block, rest = pem.Decode(rest); block == nil {
					break
				}
				certificate, err := x509.ParseCertificate(block.Bytes)
				if err == nil && certificate.NotAfter.After(last) {
					last = certificate.NotAfter
				}
			}
		}
	}
	switch left := last.Sub(now); {
	case last.IsZero():
		return finding{"authority", "skipped", "the caBundle holds no certificate"}
	case left <= 0:
		return finding{"authority", "failed", fmt.Sprintf("it expired at %s, so every opted-in pod is refused: the injector replaces it once it runs; its log says what keeps it from that", output.Time(last))}
	case left < soon:
		return finding{"authority", "warning", fmt.Sprintf("it expires at %s, and the injector has not replaced it: see its log", output.Time(last))}
	}
	return finding{"authority", "ok", "valid until " + output.Time(last)}
}

func judgeGuard(n installation) finding {
	policies := n.of("ValidatingAdmissionPolicy")
	if len(policies) == 0 {
		return finding{"guard", "warning", "there is no guard policy: a pod that gets past the webhook starts without its secrets; set guard.enabled"}
	}
	policy := policies[0]
	i := slices.IndexFunc(n.of("ValidatingAdmissionPolicyBinding"), func(b installed) bool { return b.Spec.PolicyName == policy.Metadata.Name })
	switch {
	case policy.Spec.FailurePolicy != "" && policy.Spec.FailurePolicy != "Fail": // Fail is the default
		return finding{"guard", "failed", fmt.Sprintf("%s has failurePolicy %s; helm upgrade sets Fail again", policy.Metadata.Name, policy.Spec.FailurePolicy)}
	case i < 0:
		return finding{"guard", "failed", policy.Metadata.Name + " is bound nowhere, so it refuses nothing; helm upgrade binds it"}
	case !slices.Contains(n.of("ValidatingAdmissionPolicyBinding")[i].Spec.ValidationActions, "Deny"):
		return finding{"guard", "failed", policy.Metadata.Name + " is bound without the action Deny, so it refuses nothing; helm upgrade sets it"}
	}
	return finding{"guard", "ok", policy.Metadata.Name + " is bound, and denies"}
}

// judgeReady looks at the replicas of a component. A replica of the registry is ready when it can read its store and has its keys.
func judgeReady(n installation, component string) finding {
	w, ok := n.workload(component)
	if !ok {
		return finding{component, "failed", "there is none in this cluster; helm upgrade brings it back"}
	}
	wanted := 1
	if w.Spec.Replicas != nil {
		wanted = *w.Spec.Replicas
	}
	detail := fmt.Sprintf("%d of %d replicas are ready", w.Status.ReadyReplicas, wanted)
	where := fmt.Sprintf(": kubectl -n %s describe %s %s", w.Metadata.Namespace, strings.ToLower(w.Kind), w.Metadata.Name)
	switch {
	case wanted == 0:
		return finding{component, "failed", "it is scaled to 0" + where}
	case w.Status.ReadyReplicas == 0:
		return finding{component, "failed", detail + where}
	case w.Status.ReadyReplicas < wanted:
		return finding{component, "warning", detail + where}
	}
	return finding{component, "ok", detail}
}

// judgeNodes says which deliveries the nodes can do, by what the injector and the registry go by too.
func judgeNodes(rows [][]string) finding {
	var linux, noEnvFiles, noImages int
	example := ""
	for _, row := range rows {
		if row[1] == "true" || row[2] != "linux" {
			continue
		}
		linux++
		info := kubelet.Info{Kubelet: row[3], Runtime: row[4]}
		if why := info.NoEnvFiles(); why != "" {
			noEnvFiles++
			if example == "" {
				example = row[0] + ": " + why
			}
		}
		if info.NoImageVolumes() != "" {
			noImages++
		}
	}
	switch {
	case linux == 0:
		return finding{"nodes", "failed", "there is no schedulable Linux node"}
	case noEnvFiles > 0:
		return finding{"nodes", "warning", fmt.Sprintf("%d of %d cannot do the delivery envfile, so auto chooses exec (%s)", noEnvFiles, linux, example)}
	case noImages > 0:
		return finding{"nodes", "ok", fmt.Sprintf("%d can do envfile, exec and file; %d of them cannot do direct", linux, noImages)}
	}
	return finding{"nodes", "ok", fmt.Sprintf("%d can do every delivery", linux)}
}

// rights are what the components cannot do without, as kubectl auth can-i takes it.
var rights = []struct {
	component string
	what      []string
}{
	{"registry", []string{"create", "tokenreviews.authentication.k8s.io"}},
	{"registry", []string{"get", "pods", "-A"}},
	{"registry", []string{"list", "pods", "-A"}},
	{"registry", []string{"get", "nodes"}},
	{"injector", []string{"list", "nodes"}},
	{"injector", []string{"watch", "nodes"}},
}

func examineRights(ctx context.Context, k kubectl, n installation) finding {
	var missing []string
	for _, r := range rights {
		w, ok := n.workload(r.component)
		if !ok {
			continue
		}
		account := "system:serviceaccount:" + w.Metadata.Namespace + ":" + w.Spec.Template.Spec.ServiceAccountName
		may, err := k.canI(ctx, account, r.what...)
		if err != nil {
			return finding{"rights", "skipped", errors.Join(errors.New("you may not ask for other accounts"), err).Error()}
		}
		if !may {
			missing = append(missing, r.component+": "+strings.Join(r.what[:2], " "))
		}
	}
	if len(missing) > 0 {
		return finding{"rights", "failed", "missing: " + strings.Join(missing, ", ") + "; helm upgrade grants them again"}
	}
	return finding{"rights", "ok", "registry and injector have those they need"}
}
