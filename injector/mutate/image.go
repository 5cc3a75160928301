// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
)

// Lookup is what has to be known of a pod's images before it can be planned, and what may be used to find it out.
type Lookup struct {
	Images        []string // as the pod names them, each once
	Architectures []string // that the pod may come to, sorted; none if no node says its own, and then there is nothing to look up
	PullSecrets   []string // of the pod, in its order
}

// Images are what was looked up.
type Images map[string]Image // :: image as the pod names it → what it runs

// An Image is what an image runs by itself, or why that cannot be said.
type Image struct {
	Reference       string   // the image, pinned to what was read
	Entrypoint, Cmd []string // the same on every architecture that was asked for
	// Reason is that of a refusal, Detail what is told with it. Empty if the rest is known.
	Reason Reason
	Detail string
}

// Lookup returns what [Mutator.PlanWithImages] needs to know of the pod's images. Nil means nothing: as with all pods that do not ask for it, with those whose containers have
// commands of their own or a delivery that needs none, and with those that will be refused whatever their images are.
func (m *Mutator) Lookup(pod *Pod, namespace string, names Names) *Lookup {
	if pod.Metadata.Annotations[podspec.AnnotationImageConfig] != podspec.ImageConfigLookup || pod.Metadata.Labels[podspec.LabelInject] != podspec.InjectTrue {
		return nil
	}
	p := &planner{Mutator: m, pod: pod, namespace: namespace, names: names, rule: m.cfg.Policy.rule(namespace)}
	p.decide()
	if p.denied() || len(p.asks) == 0 {
		return nil
	}
	lookup := &Lookup{Images: p.asks, Architectures: p.architectures()}
	for _, secret := range pod.Spec.ImagePullSecrets {
		if secret.Name != "" && !slices.Contains(lookup.PullSecrets, secret.Name) {
			lookup.PullSecrets = append(lookup.PullSecrets, secret.Name)
		}
	}
	return lookup
}

// againstImage tells why what the image of t runs by itself cannot be wrapped. It leaves what it runs with t.
func (p *planner) againstImage(t *target) []Problem {
	field, name := containerField(t.list, t.index), clip(t.c.Name)
	nowhere := len(p.architectures()) == 0
	switch {
	case !p.wish.lookup:
		return []Problem{{ReasonNoCommand, field + ".command", fmt.Sprintf("container %q has no command that could be wrapped", name)}}
	case nowhere && p.cfg.NodesUnknown:
		return []Problem{p.unknown()}
	case p.images == nil:
		if !slices.Contains(p.asks, t.c.Image) {
			p.asks = append(p.asks, t.c.Image)
		}
		p.lacks = append(p.lacks, Problem{ReasonImageConfigDryRun, field + ".image", fmt.Sprintf("container %q has no command, and what its image runs was not looked up", name)})
		return nil
	case nowhere:
		return []Problem{{ReasonImageConfigAmbiguous, field + ".image", fmt.Sprintf("container %q has no command, and no schedulable Linux node says of which architecture it is", name)}}
	}
	image, known := p.images[t.c.Image]
	switch {
	case !known:
		return []Problem{{ReasonImageConfigUnavailable, field + ".image", fmt.Sprintf("container %q has no command, and what its image runs was not looked up", name)}}
	case image.Reason != "":
		return []Problem{{image.Reason, field + ".image", fmt.Sprintf("container %q has no command, and what its image runs is not known: %s", name, image.Detail)}}
	case len(image.Entrypoint)+len(image.Cmd) == 0:
		return []Problem{{ReasonNoCommand, field + ".command", fmt.Sprintf("container %q has no command that could be wrapped, nor has its image", name)}}
	}
	t.image = &image
	return nil
}

// labelArch is the label by which nodes tell their architecture.
const labelArch = "kubernetes.io/arch"

// architectures are those the pod may come to: what it demands of its node, else those of all nodes. Sorted, and none if they are not known.
func (p *planner) architectures() []string {
	spec := &p.pod.Spec
	if arch := spec.NodeSelector[labelArch]; arch != "" {
		return []string{arch}
	}
	demanded := spec.Affinity.architectures()
	if len(demanded) == 0 {
		demanded = slices.Clone(p.cfg.Architectures)
	}
	slices.Sort(demanded)
	return slices.Compact(demanded)
}

// architectures are those that every term demands one of. None if there is a term that demands none, by an In.
func (a *affinity) architectures() []string {
	var all []string
	for _, term := range a.NodeAffinity.Required.Terms {
		before := len(all)
		for _, e := range term.Expressions {
			if e.Key == labelArch && e.Operator == "In" {
				all = append(all, e.Values...)
				break // a further one could only demand fewer
			}
		}
		if len(all) == before {
			return nil
		}
	}
	return all
}

// changeImage makes the container's args what the kubelet and the runtime would make of the image's and its own, pins the image, and returns the command that is to be wrapped.
func (p *planner) changeImage(prefix string, t *target) []string {
	command, args := literal(t.image.Entrypoint), t.c.Args
	if len(args) == 0 {
		args = literal(t.image.Cmd)
	}
	if len(command) == 0 { // the wrapper needs a command behind it, and what would be one are the args
		command, args = args, nil
	}
	switch path := prefix + "/args"; {
	case slices.Equal(t.c.Args, args):
	case len(args) == 0:
		p.patch.remove(path)
	default:
		p.patch.add(path, args)
	}
	if pinned := cmp.Or(t.image.Reference, t.c.Image); pinned != t.c.Image {
		p.patch.add(prefix+"/image", pinned)
	}
	return command
}

// literal returns words such that the kubelet makes of them what they are: it expands $(NAME) in a pod's command and args, which nobody does in an image's.
func literal(words []string) []string {
	var quoted []string
	for _, word := range words {
		quoted = append(quoted, strings.ReplaceAll(word, "$", "$$"))
	}
	return quoted
}
