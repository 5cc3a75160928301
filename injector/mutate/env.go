// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"fmt"
	"strings"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// reservedPrefix begins the ENVs that configure the init agent.
const reservedPrefix = "LANYARD_"

// isOurs reports whether e is what we inject into the container so named, for an ENV of some consumer.
func (e *envVar) isOurs(container string) bool {
	r := e.fileRef()
	return r != nil && r.Path == podspec.EnvFile(container) && r.Key == e.Name && !r.Optional
}

// fileRef returns the reference into our volume, if e is one.
func (e *envVar) fileRef() *fileKeyRef {
	if e.ValueFrom == nil || e.ValueFrom.FileKeyRef == nil || e.ValueFrom.FileKeyRef.VolumeName != podspec.VolumeEnv {
		return nil
	}
	return e.ValueFrom.FileKeyRef
}

// wanted returns what c receives: nothing unless it is a target.
func (p *planner) wanted(list string, index int) []wire.EnvName {
	for i := range p.targets {
		if t := &p.targets[i]; t.list == list && t.index == index {
			return t.names.Envs
		}
	}
	return nil
}

// checkEnvs refuses ENVs that collide with what is injected, or that reach into our volume in a way we would not write.
func (p *planner) checkEnvs(list string, index int, c *container) {
	envs := p.wanted(list, index)
	names := make(map[string]struct{}, len(envs))
	for _, env := range envs {
		names[env.Name] = struct{}{}
	}
	for i := range c.Env {
		e := &c.Env[i]
		if e.isOurs(c.Name) {
			continue
		}
		_, conflict := names[e.Name]
		switch {
		case e.fileRef() != nil:
			p.deny(ReasonVolumeMisused, envField(list, index, i), fmt.Sprintf("ENV %q refers to volume %s, which only the injector may refer to", clip(e.Name), podspec.VolumeEnv))
		case conflict:
			p.deny(ReasonEnvConflict, envField(list, index, i), fmt.Sprintf("container %q sets ENV %s, which its consumer has too", clip(c.Name), e.Name))
		case len(envs) > 0 && strings.HasPrefix(e.Name, reservedPrefix):
			p.deny(ReasonEnvReserved, envField(list, index, i), fmt.Sprintf("container %q sets ENV %q", clip(c.Name), clip(e.Name)))
		}
		if len(p.problems) > maxProblems {
			return
		}
	}
}

func envField(list string, container, env int) string {
	return fmt.Sprintf("%s.env[%d]", containerField(list, container), env)
}

// changeEnvs puts every container's fileKeyRefs in front of its ENVs, where ENVs of the container can refer to them with $(NAME), and takes away those
// that a copied pod brought and its consumer no longer has.
func (p *planner) changeEnvs() {
	p.pod.Spec.each(func(list string, index int, c *container) {
		if list == listEphemeral {
			return
		}
		p.changeEnv("/spec/"+list+"/"+fmt.Sprint(index)+"/env", c, p.wanted(list, index))
	})
}

func (p *planner) changeEnv(path string, c *container, envs []wire.EnvName) {
	missing := make(map[string]struct{}, len(envs))
	for _, env := range envs {
		missing[env.Name] = struct{}{}
	}
	var ours, stale []int
	for i := range c.Env {
		if e := &c.Env[i]; e.isOurs(c.Name) {
			ours = append(ours, i)
			if _, want := missing[e.Name]; want {
				delete(missing, e.Name)
			} else {
				stale = append(stale, i)
			}
		}
	}
	switch {
	case len(missing) == 0:
		p.removeAll(path, stale)
	case len(c.Env) == 0:
		p.patch.addEnvs(path, encode(podspec.EnvFile(c.Name)), envs)
	default:
		p.removeAll(path, ours) // the block goes in as a whole, in the consumer's order
		file := encode(podspec.EnvFile(c.Name))
		for i, env := range envs {
			p.patch.addEnv(at(path, i), file, env.Name)
		}
	}
}

// removeAll removes elements of a list, the last one first.
func (p *planner) removeAll(path string, indices []int) {
	for i := len(indices) - 1; i >= 0; i-- {
		p.patch.remove(at(path, indices[i]))
	}
}
