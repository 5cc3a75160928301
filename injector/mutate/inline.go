// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// inlineEnv is an ENV of a container that refers to a secret itself. It stays where it is among the container's ENVs: what comes later may refer to it with
// $(NAME), whatever delivers it.
type inlineEnv struct {
	index  int // among the container's ENVs
	name   string
	secret ref.Secret
}

// requested is what the init agent of a pod that was injected before is told to request: the pod's inline references among it, which its ENVs no longer show.
// Believing it gives nobody anything, because whoever can write it can write the references themselves.
type requested map[string]map[string]ref.Secret // :: container → ENV → secret it refers to inline; zero if it is of a consumer

// requested reads the requests of an earlier injection.
func (s *Spec) requested() requested {
	refs := make(requested)
	if index := s.ours(podspec.ContainerInit); index >= 0 && s.InitContainers[index].isAgent() {
		refs.read(&s.InitContainers[index])
	}
	if index := s.ours(podspec.ContainerSidecar); index >= 0 && s.InitContainers[index].isSidecar() {
		refs.read(&s.InitContainers[index])
	}
	return refs
}

// read adds what one of our containers requests. What it cannot read is nothing.
func (r requested) read(agent *container) {
	var request wire.ResolveRequest
	for _, e := range agent.Env {
		if e.Name == podspec.EnvRequest && (len(e.Value) > wire.MaxNamesBytes || json.Unmarshal([]byte(e.Value), &request) != nil) {
			return
		}
	}
	for _, c := range request.Containers {
		if r[c.Name] == nil {
			r[c.Name] = make(map[string]ref.Secret)
		}
		for _, name := range c.Envs {
			r[c.Name][name] = ref.Secret{}
		}
		for _, env := range c.Inline {
			if secret, err := ref.ParseSecret(env.Secret); err == nil {
				r[c.Name][env.Name] = secret
			}
		}
	}
}

// find returns what an ENV of c was before it was made ours, if it was an inline reference.
func (r requested) find(c *container, e *envVar) (name string, secret ref.Secret, ok bool) {
	if len(r[c.Name]) == 0 || !e.isOurs(c, "") {
		return "", ref.Secret{}, false
	}
	name = e.valueName()
	secret = r[c.Name][name]
	return name, secret, secret != ref.Secret{}
}

// valueName returns the name of the ENV whose value e, which is ours, stands for.
func (e *envVar) valueName() string {
	if e.fileRef() == nil {
		return strings.TrimSuffix(e.Name, podspec.FileSuffix)
	}
	return e.Name
}

// isLost reports whether e, which is ours, stands for a value that nobody can name any more: neither the container's consumer has it nor was it requested. It may
// have been an inline reference, and a pod that loses one would start without a value it asked for. t is nil for a container that receives nothing.
func (p *planner) isLost(c *container, t *target, e *envVar) bool {
	if e.isDirect(c) {
		return false
	}
	name := e.valueName()
	if t != nil && slices.ContainsFunc(t.names.Envs, func(n wire.EnvName) bool { return n.Name == name }) {
		return false
	}
	_, known := p.before[c.Name][name]
	return !known
}

// chooseInline makes every container that refers to secrets a target, or adds its references to the target it is.
func (p *planner) chooseInline() {
	p.before = p.pod.Spec.requested()
	p.pod.Spec.each(func(list string, index int, c *container) {
		if len(p.problems) > maxProblems || len(p.targets) > wire.MaxContainers {
			return
		}
		inline := p.inlineOf(list, index, c)
		if len(inline) == 0 {
			return
		}
		at := slices.IndexFunc(p.targets, func(t target) bool { return t.list == list && t.index == index })
		if at < 0 {
			at = len(p.targets)
			p.targets = append(p.targets, target{list: list, index: index, c: c, field: containerField(list, index)})
		}
		p.targets[at].inline = inline
	})
}

// inlineOf returns the inline references of a container. Each that cannot be used is a problem.
func (p *planner) inlineOf(list string, index int, c *container) []inlineEnv {
	var inline []inlineEnv
	for i := range c.Env {
		e := &c.Env[i]
		if e.ValueFrom != nil || !ref.IsInline(e.Value) {
			if name, secret, ok := p.before.find(c, e); ok {
				inline = append(inline, inlineEnv{i, name, secret})
			}
			continue
		}
		secret, err := ref.ParseSecret(e.Value)
		switch nameErr := ref.CheckEnvName(e.Name); {
		case list == listEphemeral:
			p.deny(ReasonInlineMalformed, envField(list, index, i)+".value", "a debugging container cannot receive values")
		case err != nil:
			p.deny(ReasonInlineMalformed, envField(list, index, i)+".value", err.Error())
		case nameErr != nil:
			p.deny(ReasonInlineMalformed, envField(list, index, i)+".name", nameErr.Error())
		default:
			inline = append(inline, inlineEnv{i, e.Name, secret})
		}
		if len(p.problems) > maxProblems {
			break
		}
	}
	return inline
}

// checkGrants looks the secrets of a target's inline references up and checks that this pod may refer to them.
func (p *planner) checkGrants(t *target) {
	for _, env := range t.inline {
		names, ok := p.names.Secret(env.secret.Path())
		if !ok || !slices.Contains(names.Grants, wire.Binding{Namespace: p.namespace, ServiceAccount: p.pod.Spec.serviceAccount()}) {
			p.deny(ReasonNotGranted, envField(t.list, t.index, env.index)+".value", fmt.Sprintf("secret %q does not exist or is not granted to service account %s/%s",
				env.secret.Path(), p.namespace, clip(p.pod.Spec.serviceAccount())))
			if len(p.problems) > maxProblems {
				return
			}
			continue
		}
		known := wire.EnvName{Name: env.name}
		if env.secret.Version == 0 {
			known.NoEnvfile, known.NoExec = names.NoEnvfile, names.NoExec
		}
		t.envs = append(t.envs, known)
	}
}

// checkInline refuses inline references under a name that the container has twice, or that its consumer has too.
func (p *planner) checkInline(t *target) {
	if len(t.inline) == 0 {
		return
	}
	set := make(map[string]int, len(t.c.Env)) // :: name → how often the container sets it
	for i := range t.c.Env {
		if env := t.inlineAt(i); env != nil {
			set[env.name]++
		} else {
			set[t.c.Env[i].Name]++
		}
	}
	for _, env := range t.inline {
		field := envField(t.list, t.index, env.index)
		switch {
		case slices.ContainsFunc(t.names.Envs, func(e wire.EnvName) bool { return e.Name == env.name }):
			p.deny(ReasonEnvConflict, field, fmt.Sprintf("container %q sets ENV %s, which its consumer has too", clip(t.c.Name), env.name))
		case set[env.name] > 1:
			p.deny(ReasonEnvConflict, field, fmt.Sprintf("container %q sets ENV %s twice", clip(t.c.Name), env.name))
		}
		if len(p.problems) > maxProblems {
			return
		}
	}
}

// inlineAt returns the inline reference that stands at an index of the container's ENVs, or nil.
func (t *target) inlineAt(index int) *inlineEnv {
	if t == nil {
		return nil
	}
	at, found := slices.BinarySearchFunc(t.inline, index, func(env inlineEnv, index int) int { return env.index - index })
	if !found {
		return nil
	}
	return &t.inline[at]
}

// inlineVar is what stands in the pod for an inline reference. A wrapped command keeps it as it was written: the value takes its place when the command runs.
func (p *planner) inlineVar(t *target, env *inlineEnv) envVar {
	switch t.delivery {
	case wire.DeliveryEnvfile:
		return envVar{Name: env.name, ValueFrom: &envSource{&fileKeyRef{VolumeName: podspec.VolumeEnv, Path: podspec.EnvFile(t.c.Name), Key: env.name}}}
	case wire.DeliveryFile:
		return envVar{Name: env.name + podspec.FileSuffix, Value: p.filesPath() + "/" + env.name}
	}
	return envVar{Name: env.name, Value: env.secret.String()}
}

// changeInline makes each inline reference of t what its delivery needs, in its place.
func (p *planner) changeInline(path string, t *target) {
	if t == nil {
		return
	}
	for i := range t.inline {
		env := &t.inline[i]
		if want := p.inlineVar(t, env); !t.c.Env[env.index].is(want) {
			p.patch.replace(at(path, env.index), want)
		}
	}
}

// InlineSecrets returns the secrets the pod refers to inline, each once.
func (pod *Pod) InlineSecrets() []ref.Secret {
	var secrets []ref.Secret
	before := pod.Spec.requested()
	pod.Spec.each(func(_ string, _ int, c *container) {
		for i := range c.Env {
			e := &c.Env[i]
			_, secret, ok := before.find(c, e)
			if !ok && e.ValueFrom == nil && ref.IsInline(e.Value) {
				var err error
				secret, err = ref.ParseSecret(e.Value)
				ok = err == nil
			}
			if ok && !slices.Contains(secrets, secret) {
				secrets = append(secrets, secret)
			}
		}
	})
	return secrets
}
