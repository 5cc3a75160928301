// SPDX-License-Identifier: Apache-2.0

// Package mutate decides what admission does with a pod, and computes the change.
//
// It is pure: no I/O, no clock, no environment. What a pod becomes depends on the pod, its namespace, the consumers' names and the [Config], so the same
// code answers the API server and a dry run on somebody's laptop.
//
// # What is injected
//
// An init container, lanyard-init, that runs before every container that receives values, and a projected token only it can read, but with the direct delivery. What
// else depends on how the values reach a container:
//
//	envfile  a memory-backed volume, which no container but the init agent mounts, and in front of the container's ENVs one fileKeyRef for each of its consumer
//	exec     a memory-backed volume of the container's own, a volume with the agent's binary, which is the agent's image where the cluster mounts images, and
//	         that binary in front of the container's command
//	direct   the agent's image as a volume with its binary, and in the container the token, that binary in front of its command and ENVs that tell it what to
//	         fetch. A pod in which every container receives so has no init container
//	file     a memory-backed volume of the container's own, and in front of its ENVs one NAME_FILE for each ENV of its consumer
//
// An ENV whose value is an inline reference, lanyard://<organization>/<secret>, is delivered like those of a consumer, but keeps its place: it becomes the fileKeyRef or
// NAME_FILE, or stays as it is where the command is wrapped.
//
// Where files are to be refreshed, their containers' values come from a native sidecar, lanyard-sidecar, instead of the init container, which is there for the
// other containers, if any. Nothing else of the pod is touched.
//
// # Idempotence
//
// [Mutator.Plan] compares the pod's structure with the one wanted and patches the difference; a pod that already has it is [Unchanged]. The status
// annotation plays no part. A container or volume with one of our names is either recognizably ours, and then made exactly what we would inject (a copied
// pod, an older injector), or the pod is refused.
package mutate

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// Names is a complete view of the consumers and of the secrets that pods may refer to: what exists is in it. Implementations are safe for concurrent use and do not block.
type Names interface {
	// Lookup returns the consumer written <organization>/<consumer>. The caller does not change it.
	Lookup(consumer string) (*wire.ConsumerNames, bool)
	// Secret returns the secret written <organization>/<secret>, if pods of the cluster may refer to it inline. The caller does not change it.
	Secret(secret string) (*wire.SecretNames, bool)
}

// Config is what an installation decides. Nothing of it can be changed by a pod.
type Config struct {
	Image      string // of the init agent; required
	PullPolicy string // Always, IfNotPresent or Never; empty means IfNotPresent
	URL        string // https URL of the registry's workload listener; required
	// HostNetworkURL replaces URL in pods that use the node's network and DNS, where names of Services do not resolve. Empty means URL.
	HostNetworkURL string
	ServerName     string // name the registry's certificate is checked against; empty means the URL's host
	CA             string // PEM the registry's certificate is checked against; required
	Audience       string // of the pods' tokens; empty means podspec.Audience
	// ProviderAudiences are those that pods may have further tokens of, to have providers decide by them. What the registry asks for beyond them is refused.
	ProviderAudiences []string
	Deadline          time.Duration // zero means podspec.DefaultDeadline

	// Verify adds a second init container that proves, on the node, that the kubelet reads env files. It costs most of a second at each pod start and catches
	// what no version tells: a kubelet with the feature turned off would start containers with empty ENVs.
	Verify bool

	// Resources of the init container. A zero quantity is left out; see resourcesFor for the rules that keep the pod's QoS class.
	CPURequest, MemoryRequest, CPULimit, MemoryLimit resource.Quantity

	// Policy says which deliveries pods get and may ask for.
	Policy Policy

	// Unsupported says why the cluster cannot deliver env files. Empty means that it can.
	Unsupported string
	// RefreshUnsupported says why it cannot run native sidecars, RestartUnsupported why a container cannot have the others restarted. Empty means that it can.
	RefreshUnsupported, RestartUnsupported string
	// SupportUnknown is set until the cluster's version has been learnt.
	SupportUnknown bool

	// NodesWithoutEnvfile says which node a pod may come to cannot deliver env files, and why. Empty means that all can. The delivery auto heeds it.
	NodesWithoutEnvfile string
	// ImageVolumes is set where API server and nodes can mount the init agent's image as a volume. Else NoImageVolumes says why not, if that is known.
	ImageVolumes   bool
	NoImageVolumes string
	// Architectures are those of the nodes a pod may come to, as Kubernetes names them.
	Architectures []string
	// NodesUnknown is set until the nodes have been learnt.
	NodesUnknown bool
}

// A Mutator plans with one configuration. It is immutable and safe for concurrent use.
type Mutator struct{ cfg Config }

// New checks cfg and returns a Mutator for it.
func New(cfg Config) (*Mutator, error) {
	cfg.PullPolicy = cmp.Or(cfg.PullPolicy, "IfNotPresent")
	cfg.Audience = cmp.Or(cfg.Audience, podspec.Audience)
	cfg.Deadline = cmp.Or(cfg.Deadline, podspec.DefaultDeadline)
	var errs []error
	if cfg.Image == "" {
		errs = append(errs, errors.New("image of the init agent is missing"))
	}
	switch cfg.PullPolicy {
	case "Always", "IfNotPresent", "Never":
	default:
		errs = append(errs, fmt.Errorf("pull policy %q is none of Always, IfNotPresent, Never", cfg.PullPolicy))
	}
	if cfg.CA == "" {
		errs = append(errs, errors.New("CA bundle of the registry is missing"))
	}
	errs = append(errs, checkURL("URL of the registry", cfg.URL))
	if cfg.HostNetworkURL != "" {
		errs = append(errs, checkURL("URL of the registry for host-network pods", cfg.HostNetworkURL))
	}
	for _, audience := range cfg.ProviderAudiences {
		if err := podspec.CheckProviderAudience(audience); err != nil {
			errs = append(errs, fmt.Errorf("audience of providers %q %w", audience, err))
		}
		if audience == cfg.Audience {
			errs = append(errs, fmt.Errorf("audience of providers %q is that of the registry", audience))
		}
	}
	if cfg.Deadline < time.Second || cfg.Deadline > podspec.MaxDeadline {
		errs = append(errs, fmt.Errorf("deadline %s is not between 1s and %s", cfg.Deadline, podspec.MaxDeadline))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Mutator{cfg: cfg}, nil
}

func checkURL(what, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Path != "" && u.Path != "/" {
		return fmt.Errorf("%s %q is not https://<host>[:<port>]", what, text)
	}
	return nil
}

// A Plan is the outcome for one pod.
type Plan struct {
	Decision Decision
	Reason   Reason    // with Denied, that of the first problem
	Problems []Problem // with Denied
	Patch    []byte    // JSON Patch (RFC 6902); only with Injected
	Warnings []string  // for the person who creates the pod
}

type planner struct {
	*Mutator
	pod       *Pod
	namespace string
	names     Names
	images    Images    // what was looked up; nil if nothing was, and then it is found out what had to be:
	asks      []string  // the images
	lacks     []Problem // and what that means for their containers, if there is nothing else
	problems  []Problem
	rule      Rule
	wish      wish
	before    requested // in an earlier injection
	targets   []target
	place     place
	patch     patch
}

func (p *planner) deny(reason Reason, field, detail string) {
	p.problems = append(p.problems, Problem{Reason: reason, Field: field, Detail: detail})
}

func (p *planner) denied() bool { return len(p.problems) > 0 }

// Plan decides about a pod that is created in namespace. It changes nothing in pod. Nil names mean that none were ever received. Nothing was looked up in images: a
// pod that needs it is refused.
func (m *Mutator) Plan(pod *Pod, namespace string, names Names) Plan {
	return m.PlanWithImages(pod, namespace, names, nil)
}

// PlanWithImages is Plan with what was looked up for [Mutator.Lookup] of the same pod and names.
func (m *Mutator) PlanWithImages(pod *Pod, namespace string, names Names, images Images) Plan {
	if pod.Metadata.Labels[podspec.LabelInject] != podspec.InjectTrue {
		return Plan{Decision: Skipped, Reason: ReasonNotOptedIn}
	}
	if _, mirror := pod.Metadata.Annotations["kubernetes.io/config.mirror"]; mirror {
		return Plan{Decision: Skipped, Reason: ReasonMirrorPod}
	}
	p := &planner{Mutator: m, pod: pod, namespace: namespace, names: names, images: images, rule: m.cfg.Policy.rule(namespace)}
	p.decide()
	if !p.denied() {
		p.problems = p.lacks
	}
	if p.denied() {
		return Plan{Decision: Denied, Reason: p.problems[0].Reason, Problems: p.problems}
	}
	p.change(ReasonInjected)
	plan := Plan{Decision: Injected, Reason: ReasonInjected, Patch: p.patch.bytes(), Warnings: p.warnings()}
	if plan.Patch == nil {
		plan.Decision = Unchanged
	}
	return plan
}

// decide finds the targets, or every problem that can be found at once. Each step needs the ones before it to have found none.
func (p *planner) decide() {
	steps := []func(){p.checkCluster, func() {
		if p.wish = p.readAnnotations(); !p.denied() {
			p.chooseTargets(p.wish)
		}
	}, p.checkConsumers, p.checkAudiences, p.chooseDeliveries, p.choosePlace, p.checkFiles, p.checkRefresh, p.checkStructure}
	for _, step := range steps {
		if step(); p.denied() {
			return
		}
	}
}

func (p *planner) checkCluster() {
	spec := &p.pod.Spec
	switch {
	case spec.OS.Name == "windows", spec.NodeSelector["kubernetes.io/os"] == "windows":
		p.deny(ReasonWindows, "spec.os.name", "the pod is for Windows nodes")
	case p.names == nil:
		p.deny(ReasonNamesUnavailable, "", "the injector has not received the consumers' names yet; try again")
	}
}

// envs counts the ENVs of all targets.
func (p *planner) envs() int {
	return p.envsBy(wire.DeliveryEnvfile) + p.envsBy(wire.DeliveryExec) + p.envsBy(wire.DeliveryDirect) + p.envsBy(wire.DeliveryFile)
}

// envsBy counts the ENVs that are delivered so.
func (p *planner) envsBy(delivery wire.Delivery) int {
	n := 0
	for i := range p.targets {
		if p.targets[i].delivery == delivery {
			n += len(p.targets[i].envs)
		}
	}
	return n
}

// change writes the patch. Lists are edited from the containers outward, so that indices found in the pod stay true until they are used.
func (p *planner) change(reason Reason) {
	p.changeContainers()
	p.changeInit()
	p.changeVolumes()
	switch status := p.status(reason); {
	case p.pod.Metadata.Annotations == nil:
		p.patch.add("/metadata/annotations", map[string]string{podspec.AnnotationStatus: status})
	case p.pod.Metadata.Annotations[podspec.AnnotationStatus] != status:
		p.patch.add("/metadata/annotations/lanyard.dev~1status", status)
	}
}

func (p *planner) warnings() []string {
	var warnings []string
	if p.envs() > 0 && (p.pod.Spec.ShareProcessNamespace || p.pod.Spec.HostPID) {
		warnings = append(warnings, "lanyard: the pod shares a process namespace: other processes in it may read the injected ENVs from /proc")
	}
	p.pod.Spec.each(func(list string, index int, c *container) {
		for i := range c.Env {
			if e := &c.Env[i]; len(warnings) < maxProblems && strings.Contains(e.Value, ref.Scheme) && !ref.IsInline(e.Value) {
				warnings = append(warnings, fmt.Sprintf("lanyard: %s.value is left as it is: it holds %s but does not begin with it", envField(list, index, i), ref.Scheme))
			}
		}
	})
	return warnings
}
