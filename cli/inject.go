// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
	"github.com/lanyard-dev/lanyard/injector/mutate"
	"github.com/lanyard-dev/lanyard/internal/version"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// injectFlags stand for the configuration of a cluster's injector.
type injectFlags struct {
	file, namespace, cluster, names  string
	image, registryURL, registryCA   string
	registryServerName, hostNetURL   string
	dryRun, imageVolumes             bool
	cpuRequest, memRequest, memLimit string
	policy                           string
	audiences                        []string
}

func newInject(a *app) *cobra.Command {
	var f injectFlags
	cmd := &cobra.Command{
		Use: "inject", Short: "Show what the injector makes of a pod", Args: arguments,
		Long: `Show what the injector makes of the pods in a file, with the very code that answers the API server. Nothing is changed anywhere.

The file holds YAML or JSON documents: Pods, and workloads with a pod template; others pass through. The consumers they name and the secrets they refer
to are asked for at the registry, or read from --names, in which case no connection is made. The file of --names is a JSON array such as
[{"ref": "acme/billing", "envs": [{"name": "API_KEY"}], "bindings": [{"namespace": "billing", "service_account": "api"}]},
{"ref": "acme/stripe-api-key", "grants": [{"namespace": "billing", "service_account": "api"}]}]; what has grants is a secret.

Where a secret is read with the pod's own identity, the pod gets a token for its provider. Whether it may is decided by the installation; --provider-pod-audience says what it allows.

The changed documents go to standard output, the decisions to standard error. A pod that would be refused ends with exit code 1 and the reasons. The flags from
--agent-image on say how the cluster's injector is configured, where that matters.`,
		Example: `  lanyard inject --dry-run -f pod.yaml
  helm template billing | lanyard inject --dry-run -f - --namespace billing`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !f.dryRun {
				return misuse("add --dry-run", "the injector of the cluster injects; this command only shows what it would do")
			}
			return a.inject(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.dryRun, "dry-run", false, "required: say that you know nothing is changed")
	flags.StringVarP(&f.file, "filename", "f", "", "`file` with the documents, - for standard input")
	flags.StringVarP(&f.namespace, "namespace", "n", "", "`namespace` of documents that name none; default otherwise")
	flags.StringVar(&f.names, "names", "", "`file` with the names of consumers, instead of the registry")
	flags.StringVar(&f.cluster, "cluster", defaultCluster, "`name` of the cluster in bindings")
	flags.StringVar(&f.image, "agent-image", "ghcr.io/lanyard-dev/lanyard-agent:"+version.String(), "`image` of the init agent")
	flags.Lookup("agent-image").DefValue = "that of this release"
	flags.StringVar(&f.registryURL, "registry-url", "https://lanyard-registry.lanyard-system.svc:9443", "https `URL` of the workload API")
	flags.StringVar(&f.registryServerName, "registry-server-name", "", "`name` in its certificate, if not the URL's host")
	flags.StringVar(&f.hostNetURL, "registry-host-network-url", "", "`URL` for pods with hostNetwork")
	flags.StringVar(&f.registryCA, "registry-ca-file", "", "PEM `file` pods verify it against; a placeholder otherwise")
	flags.StringVar(&f.policy, "policy-file", "", "YAML `file` with the injector's delivery policy")
	flags.StringArrayVar(&f.audiences, "provider-pod-audience", nil, "`audience` that pods may have tokens of their own for; repeatable; otherwise all that the providers need")
	flags.StringVar(&f.cpuRequest, "agent-cpu-request", "10m", "CPU `quantity` the init container requests")
	flags.StringVar(&f.memRequest, "agent-memory-request", "16Mi", "memory `quantity` it requests")
	flags.StringVar(&f.memLimit, "agent-memory-limit", "64Mi", "memory `quantity` it is limited to")
	flags.BoolVar(&f.imageVolumes, "image-volumes", false, "the cluster mounts images as volumes: Kubernetes 1.36, containerd 2.1 on every schedulable Linux node")
	if err := cmd.MarkFlagRequired("filename"); err != nil { // it stands above
		panic(err)
	}
	return cmd
}

func (f *injectFlags) config(a *app) (config mutate.Config, err error) {
	config = mutate.Config{Image: f.image, URL: f.registryURL, HostNetworkURL: f.hostNetURL, ServerName: f.registryServerName, CA: "(the CA bundle of the registry)",
		ImageVolumes: f.imageVolumes, NoImageVolumes: "--image-volumes does not say that the cluster mounts images as volumes"}
	if f.registryCA != "" {
		text, err := a.readFile(f.registryCA, "--registry-ca-file", 32<<10)
		if err != nil {
			return config, err
		}
		config.CA = string(text)
	}
	if f.policy != "" {
		text, err := a.readFile(f.policy, "--policy-file", mutate.MaxPolicyBytes)
		if err != nil {
			return config, err
		}
		if config.Policy, err = mutate.ParsePolicy(text); err != nil {
			return config, failed(Failure, "", err)
		}
	}
	for _, q := range []struct {
		flag, text string
		into       *resource.Quantity
	}{{"agent-cpu-request", f.cpuRequest, &config.CPURequest}, {"agent-memory-request", f.memRequest, &config.MemoryRequest}, {"agent-memory-limit", f.memLimit, &config.MemoryLimit}} {
		parsed, err := resource.ParseQuantity(q.text)
		if err != nil {
			return config, misuse("", "--%s: %w", q.flag, err)
		}
		*q.into = parsed
	}
	config.ProviderAudiences = f.audiences
	if _, err = mutate.New(config); err != nil {
		return config, misuse("", "%w", err)
	}
	return config, nil
}

// mutatorFor returns the injector of an installation that lets pods have tokens for what audiences names. The installation decides that; unless it is said here what it lets them have, it is taken to be all that the
// registry names: the registry refuses providers that demand anything else of pods.
func mutatorFor(config mutate.Config, names *knownNames) (*mutate.Mutator, error) {
	if len(config.ProviderAudiences) == 0 {
		config.ProviderAudiences = names.audiences()
	}
	return mutate.New(config)
}

// maxManifest bounds a file of manifests.
const maxManifest = 16 << 20

func (a *app) inject(ctx context.Context, f injectFlags) error {
	switch a.flags.output {
	case "", "yaml", "json":
	default:
		return misuse("", "--output of inject is yaml or json")
	}
	config, err := f.config(a)
	if err != nil {
		return err
	}
	content, err := a.readFile(f.file, "--filename", maxManifest)
	if err != nil {
		return err
	}
	documents, err := splitDocuments(content)
	if err != nil {
		return failed(Failure, "", fmt.Errorf("reading the manifests: %w", err))
	}
	i := injection{app: a, flags: f, config: config}
	if i.names, err = a.namesSource(ctx, f); err != nil {
		return err
	}
	for n, document := range documents {
		out, err := i.document(document)
		if err != nil {
			return err
		}
		if err := i.print(n, out); err != nil {
			return err
		}
	}
	if len(i.refused) > 0 {
		return failed(Failure, "docs/reasons-admission.md explains the reasons", fmt.Errorf("refused: %s", strings.Join(i.refused, "; ")))
	}
	return nil
}

// injection goes through the documents of one file.
type injection struct {
	app     *app
	flags   injectFlags
	config  mutate.Config
	names   namesSource
	refused []string
}

// document returns a document with its pod, if it has one, as the injector would make it.
func (i *injection) document(document json.RawMessage) (json.RawMessage, error) {
	var head struct {
		Kind     string
		Metadata struct{ Name, GenerateName, Namespace string }
	}
	if err := json.Unmarshal(document, &head); err != nil {
		return nil, failed(Failure, "", errors.New("reading the manifests: a document is no Kubernetes object"))
	}
	path, hasPod := podTemplates[head.Kind]
	if !hasPod {
		return document, nil
	}
	title := strings.ToLower(head.Kind) + "/" + cmp.Or(head.Metadata.Name, head.Metadata.GenerateName+"…")
	namespace := cmp.Or(head.Metadata.Namespace, i.flags.namespace, "default")
	return within(document, path, func(raw json.RawMessage) (json.RawMessage, error) {
		pod, err := mutate.ParsePod(raw)
		if err != nil {
			return nil, failed(Failure, "", fmt.Errorf("%s: %w", title, err))
		}
		names, err := i.names(pod)
		if err != nil {
			return nil, err
		}
		mutator, err := mutatorFor(i.config, names)
		if err != nil {
			return nil, failed(Failure, "", fmt.Errorf("%s: %w", title, err))
		}
		plan := mutator.Plan(pod, namespace, names)
		fmt.Fprintf(i.app.Err, "%s: %s [%s]\n", output.Printable(title), plan.Decision, plan.Reason)
		for _, warning := range plan.Warnings {
			fmt.Fprintf(i.app.Err, "%s: warning: %s\n", output.Printable(title), warning)
		}
		if plan.Decision == mutate.Denied {
			i.refused = append(i.refused, title+": "+plan.Message())
		}
		if plan.Patch == nil {
			return raw, nil
		}
		patch, err := jsonpatch.DecodePatch(plan.Patch)
		if err != nil {
			return nil, fmt.Errorf("decoding the injector's patch: %w", err)
		}
		return patch.Apply(raw)
	})
}

// podTemplates are the kinds that have a pod, and where.
var podTemplates = map[string][]string{ // :: kind → path
	"Pod":        {},
	"CronJob":    {"spec", "jobTemplate", "spec", "template"},
	"DaemonSet":  {"spec", "template"},
	"Deployment": {"spec", "template"}, "ReplicaSet": {"spec", "template"}, "ReplicationController": {"spec", "template"}, "StatefulSet": {"spec", "template"},
	"Job": {"spec", "template"},
}

// within replaces the part of document at path by what change makes of it. Everything else keeps its bytes.
func within(document json.RawMessage, path []string, change func(json.RawMessage) (json.RawMessage, error)) (json.RawMessage, error) {
	if len(path) == 0 {
		return change(document)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(document, &fields); err != nil || fields[path[0]] == nil {
		return nil, failed(Failure, "", fmt.Errorf("reading the manifests: a workload has no field %s of its pod template", path[0]))
	}
	changed, err := within(fields[path[0]], path[1:], change)
	if err != nil {
		return nil, err
	}
	fields[path[0]] = changed
	return json.Marshal(fields)
}

func (i *injection) print(n int, document json.RawMessage) error {
	if i.app.flags.output == "json" {
		_, err := fmt.Fprintf(i.app.Out, "%s\n", document)
		return err
	}
	text, err := yaml.JSONToYAML(document)
	if err != nil {
		return fmt.Errorf("encoding the document: %w", err)
	}
	if n > 0 {
		fmt.Fprintln(i.app.Out, "---")
	}
	_, err = i.app.Out.Write(text)
	return err
}

// knownNames is a [mutate.Names] of what was found out. A nil entry is something that does not exist.
type knownNames struct {
	consumers map[string]*wire.ConsumerNames // :: <organization>/<consumer> → names
	secrets   map[string]*wire.SecretNames   // :: <organization>/<secret> → names
}

// Lookup implements [mutate.Names].
func (k *knownNames) Lookup(consumer string) (*wire.ConsumerNames, bool) {
	names := k.consumers[consumer]
	return names, names != nil
}

// audiences are those of all tokens that pods need for providers, sorted.
func (k *knownNames) audiences() (all []string) {
	for _, c := range k.consumers {
		if c != nil {
			all = append(all, c.ProviderAudiences...)
		}
	}
	for _, s := range k.secrets {
		if s != nil && s.ProviderAudience != "" {
			all = append(all, s.ProviderAudience)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Secret implements [mutate.Names].
func (k *knownNames) Secret(secret string) (*wire.SecretNames, bool) {
	names := k.secrets[secret]
	return names, names != nil
}
