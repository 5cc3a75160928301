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

// inlineRefs are the inline references of a pod that was injected before, which its ENVs no longer show: they are in what the init agent is told to
// request. Believing it gives nobody anything, because whoever can write it can write the references themselves.
type inlineRefs map[string]map[string]ref.Secret // :: container → ENV → secret

// inlineRefs reads the references of an earlier injection.
func (s *Spec) inlineRefs() inlineRefs {
	refs := make(inlineRefs)
	if index := s.ours(podspec.ContainerInit); index >= 0 && s.InitContainers[index].isAgent() {
		refs.read(&s.InitContainers[index])
	}
	if index := s.ours(podspec.ContainerSidecar); index >= 0 && s.InitContainers[index].isSidecar() {
		refs.read(&s.InitContainers[index])
	}
	return refs
}

// read adds the references of what one of our containers requests. What it cannot read is none.
func (r inlineRefs) read(agent *container) {
	var request wire.ResolveRequest
	for _, e := range agent.Env {
		if e.Name == podspec.EnvRequest && (len(e.Value) > wire.MaxNamesBytes || json.Unmarshal([]byte(e.Value), &request) != nil) {
			return
		}
	}
	for _, c := range request.Containers {
		for _, env := range c.Inline {
			if secret, err := ref.ParseSecret(env.Secret); err == nil {
				if r[c.Name] == nil {
					r[c.Name] = make(map[string]ref.Secret)
				}
				r[c.Name][env.Name] = secret
			}
		}
	}
}

// find returns what an ENV of c was before it was made ours.
func (r inlineRefs) find(c *container, e *envVar) (name string, secret ref.Secret, ok bool) {
	refs := r[c.Name]
	if len(refs) == 0 || !e.isOurs(c, "") {
		return "", ref.Secret{}, false
	}
	name = e.Name
	if e.fileRef() == nil {
		name = strings.TrimSuffix(name, podspec.FileSuffix)
	}
	secret, ok = refs[name]
	return name, secret, ok
}

// chooseInline makes every container that refers to secrets a target, or adds its references to the target it is.
func (p *planner) chooseInline() {
	before := p.pod.Spec.inlineRefs()
	p.pod.Spec.each(func(list string, index int, c *container) {
		if len(p.problems) > maxProblems || len(p.targets) > wire.MaxContainers {
			return
		}
		inline := p.inlineOf(before, list, index, c)
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
func (p *planner) inlineOf(before inlineRefs, list string, index int, c *container) []inlineEnv {
	var inline []inlineEnv
	for i := range c.Env {
		e := &c.Env[i]
		if e.ValueFrom != nil || !ref.IsInline(e.Value) {
			if name, secret, ok := before.find(c, e); ok {
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
	before := pod.Spec.inlineRefs()
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
