// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
	"github.com/lanyard-dev/lanyard/injector/mutate"
	"github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

func explainPod(a *app) *cobra.Command {
	f := injectFlags{}
	cmd := &cobra.Command{
		Use: "pod", Short: "Say what became of a pod, or would, and why", Args: arguments, PreRunE: a.checkOutput,
		Long: `Say what became of a pod, or would, and why: its label and annotations as they are read, the status the injector left, what admission decides with the very code that answers the
API server, what the registry says of each ENV it asks for, and what its init agent reported. The pod comes from a file or from kubectl; a workload stands for its pod template. Nothing is
changed, no value is opened and no provider is asked.

What the pod takes from an organization that the caller is no member of stays unexplained. The injector's policy and what the cluster can do are not known here; ` + "`inject --dry-run`" + ` has
flags for them. The exit code is 0 if nothing keeps the pod from its values, as far as that is known, and 7 if something does.`,
		Example: `  kubectl get pod api-7c9f-x2x7p -n billing -o yaml | lanyard explain pod -f -
  lanyard explain pod -f deployment.yaml --namespace billing`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.explainPod(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.file, "filename", "f", "", "`file` with the pod, - for standard input")
	flags.StringVarP(&f.namespace, "namespace", "n", "", "`namespace` of a pod that names none; default otherwise")
	flags.StringVar(&f.cluster, "cluster", defaultCluster, "`name` of the cluster in bindings")
	if err := cmd.MarkFlagRequired("filename"); err != nil { // it stands above
		panic(err)
	}
	return cmd
}

// observedPod is what explanations read of a pod beyond what admission does.
type observedPod struct {
	Kind     string
	Metadata struct{ Name, GenerateName, Namespace string }
	Spec     struct{ ServiceAccountName string }
	Status   struct {
		InitContainerStatuses, ContainerStatuses []containerStatus
	}
}

type containerStatus struct {
	Name             string
	State, LastState struct{ Terminated *termination }
}

type termination struct {
	ExitCode int
	Message  string
}

func (a *app) explainPod(ctx context.Context, f injectFlags) error {
	raw, seen, err := a.onePod(f)
	if err != nil {
		return err
	}
	pod, err := mutate.ParsePod(raw)
	if err != nil {
		return failed(Failure, "", err)
	}
	source, err := a.namesSource(ctx, f)
	if err != nil {
		return err
	}
	names, err := source(pod)
	if err != nil {
		return err
	}
	mutator, err := mutatorFor(mutate.Config{Image: "agent", URL: "https://registry", CA: "ca", ImageVolumes: true}, names)
	if err != nil {
		return failed(Failure, "", err)
	}
	account := cmp.Or(seen.Spec.ServiceAccountName, "default")
	report := explanation{Kind: "pod", Name: cmp.Or(seen.Metadata.Name, seen.Metadata.GenerateName), Namespace: cmp.Or(seen.Metadata.Namespace, f.namespace, "default"), ServiceAccount: account}
	report.add(read(pod)...)
	report.add(admitted(mutator.Plan(pod, report.Namespace, names))...)
	asked := pod.Asked()
	var sent map[string][]string
	if len(asked) > 0 {
		sent = pod.ProviderAudiences()
	}
	if len(asked) == 0 && pod.Metadata.Labels[podspec.LabelInject] == podspec.InjectTrue {
		asked = mutator.Asks(pod, report.Namespace, names)
	}
	lines, err := a.askEach(ctx, asked, sent, api.Question{Cluster: &f.cluster, Namespace: report.Namespace, ServiceAccount: account})
	if err != nil {
		return err
	}
	report.add(lines...)
	report.add(reported(seen)...)
	return a.showExplanation(report)
}

// onePod reads the pod of a file, or the pod template of its workload.
func (a *app) onePod(f injectFlags) (raw json.RawMessage, seen observedPod, err error) {
	content, err := a.readFile(f.file, "--filename", maxManifest)
	if err != nil {
		return nil, seen, err
	}
	documents, err := splitDocuments(content)
	if err != nil {
		return nil, seen, failed(Failure, "", fmt.Errorf("reading the pod: %w", err))
	}
	var title observedPod
	for _, document := range documents {
		var head observedPod
		if err := json.Unmarshal(document, &head); err != nil {
			return nil, seen, failed(Failure, "", errors.New("reading the pod: a document is no Kubernetes object"))
		}
		path, hasPod := podTemplates[head.Kind]
		if !hasPod {
			continue
		}
		if raw != nil {
			return nil, seen, misuse("", "the file holds more than one pod")
		}
		title = head
		if _, err := within(document, path, func(part json.RawMessage) (json.RawMessage, error) {
			raw = part
			return part, nil
		}); err != nil {
			return nil, seen, err
		}
	}
	if raw == nil {
		return nil, seen, misuse("`kubectl get pod NAME -o yaml` prints one", "the file holds no pod")
	}
	if err := json.Unmarshal(raw, &seen); err != nil {
		return nil, seen, failed(Failure, "", errors.New("reading the pod: it is none"))
	}
	seen.Metadata.Name = cmp.Or(seen.Metadata.Name, title.Metadata.Name)
	seen.Metadata.Namespace = cmp.Or(seen.Metadata.Namespace, title.Metadata.Namespace)
	return raw, seen, nil
}

// read tells the label, the annotations and the status as they stand in the pod.
func read(pod *mutate.Pod) (lines []explained) {
	label, ok := pod.Metadata.Labels[podspec.LabelInject]
	if !ok {
		label = "(none)"
	}
	lines = append(lines, explained{Step: "label", Name: podspec.LabelInject, Result: label})
	for _, name := range slices.Sorted(maps.Keys(pod.Metadata.Annotations)) {
		if !strings.HasPrefix(name, podspec.Domain) {
			continue
		}
		line := explained{Step: "annotation", Name: name, Result: pod.Metadata.Annotations[name]}
		if name == podspec.AnnotationStatus {
			line = status(line)
		}
		lines = append(lines, line)
	}
	return lines
}

// status tells what the injector left in the status annotation: its decision, and how each container receives its ENVs.
func status(line explained) explained {
	var s mutate.Status
	if json.Unmarshal([]byte(line.Result), &s) != nil {
		line.Message = "it is not what the injector writes"
		return line
	}
	line.Step, line.Result = "status", string(s.Reason)
	var parts []string
	for _, c := range s.Containers {
		parts = append(parts, fmt.Sprintf("%s: %d ENVs by %s (%s)", c.Name, c.Envs, c.Delivery, c.Why))
	}
	line.Message = strings.Join(parts, "; ")
	return line
}

// admitted tells what admission decides.
func admitted(plan mutate.Plan) (lines []explained) {
	if plan.Decision != mutate.Denied {
		info := plan.Reason.Info()
		return []explained{{Step: "admission", Result: string(plan.Decision), Reason: string(plan.Reason), Message: info.Meaning, Fix: info.Fix}}
	}
	for _, p := range plan.Problems {
		lines = append(lines, explained{Step: "admission", Name: p.Field, Result: resultRefused, Reason: string(p.Reason), Message: p.Detail, Fix: p.Reason.Info().Fix})
	}
	return lines
}

// askEach asks the registry about each organization that the containers take something from. sent are the audiences of the tokens for providers that a pod which was injected sends along; nil of one that was not.
func (a *app) askEach(ctx context.Context, asked []wire.ContainerRequest, sent map[string][]string, q api.Question) (lines []explained, err error) {
	var orgs []string // in the order of the containers
	questions := map[string][]api.QuestionContainer{}
	of := func(org string, name string) *api.QuestionContainer {
		if !slices.Contains(orgs, org) {
			orgs = append(orgs, org)
		}
		list := questions[org]
		if len(list) == 0 || list[len(list)-1].Name != name {
			list = append(list, api.QuestionContainer{Name: name})
		}
		questions[org] = list
		return &list[len(list)-1]
	}
	for _, c := range asked {
		if consumer, err := ref.ParseConsumer(c.Consumer); err == nil {
			part := of(consumer.Org, c.Name)
			part.Consumer = &c.Consumer
			part.Envs = nonempty(c.Envs)
			part.Delivery = nonzero(api.Delivery(c.Delivery))
		}
		for _, env := range c.Inline {
			secret, err := ref.ParseSecret(env.Secret)
			if err != nil {
				continue // admission says so
			}
			part := of(secret.Org, c.Name)
			part.Delivery = nonzero(api.Delivery(c.Delivery))
			if part.Inline == nil {
				part.Inline = new([]api.QuestionInline)
			}
			*part.Inline = append(*part.Inline, api.QuestionInline{Name: env.Name, Secret: env.Secret})
		}
	}
	if len(orgs) == 0 {
		return nil, nil
	}
	client, err := a.client()
	if err != nil {
		return nil, err
	}
	for _, org := range orgs {
		q.Containers = new(questions[org])
		e, err := askWhy(ctx, client, org, q)
		switch {
		case codeOf(err) == NotFound:
			lines = append(lines, explained{Step: "organization", Name: org, Result: "unknown", Message: "it does not exist, or you are no member of it"})
		case err != nil:
			return nil, err
		default:
			lines = append(lines, told(e)...)
			if sent != nil {
				lines = append(lines, unsent(e, sent)...)
			}
		}
	}
	return lines, nil
}

// unsent tells which tokens for providers a pod that was injected lacks: it was admitted before its secrets needed them, or somebody took them away.
func unsent(e api.Explanation, sent map[string][]string) (lines []explained) {
	for _, c := range e.Containers {
		var told []string
		for _, i := range c.Items {
			audience := output.Text(i.ProviderAudience)
			if audience == "" || slices.Contains(sent[output.Text(c.Name)], audience) || slices.Contains(told, audience) {
				continue
			}
			told = append(told, audience)
			lines = append(lines, explained{
				Step: "provider token", Name: output.Text(c.Name) + "/" + audience, Result: resultRefused, Reason: string(wire.CodeProviderDenied), From: "provider " + output.Text(i.Provider),
				Message: fmt.Sprintf("the pod sends no token of its own for audience %q along, with which its provider is read", audience), Fix: "Recreate the pod: it gets the token at admission.",
			})
		}
	}
	return lines
}

func nonempty(list []string) *[]string {
	if len(list) == 0 {
		return nil
	}
	return &list
}

// reported tells how the init agent, or a command it wraps, ended last.
func reported(pod observedPod) (lines []explained) {
	for _, c := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
		end := cmp.Or(c.State.Terminated, c.LastState.Terminated)
		if end == nil || end.ExitCode == 0 || !strings.HasPrefix(end.Message, "lanyard: ") {
			continue
		}
		lines = append(lines, explained{Step: "termination", Name: c.Name, Result: fmt.Sprint("exit code ", end.ExitCode), Message: output.Printable(strings.TrimSpace(end.Message))})
	}
	return lines
}
