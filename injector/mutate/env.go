// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// reservedPrefix begins the ENVs that configure the init agent.
const reservedPrefix = "LANYARD_"

// isOurs reports whether e is what we inject into c, for an ENV of some consumer. dir is where c is to have files; empty if nowhere.
func (e *envVar) isOurs(c *container, dir string) bool {
	if r := e.fileRef(); r != nil {
		return r.Path == podspec.EnvFile(c.Name) && r.Key == e.Name && !r.Optional
	}
	return e.isPath(c, dir) || e.isDirect(c)
}

// fileRef returns the reference into our volume, if e is one.
func (e *envVar) fileRef() *fileKeyRef {
	if e.ValueFrom == nil || e.ValueFrom.FileKeyRef == nil || e.ValueFrom.FileKeyRef.VolumeName != podspec.VolumeEnv {
		return nil
	}
	return e.ValueFrom.FileKeyRef
}

// isPath reports whether e tells where a file of c is or would be, under the name we give such an ENV.
func (e *envVar) isPath(c *container, dir string) bool {
	name, ok := strings.CutSuffix(e.Name, podspec.FileSuffix)
	if !ok || name == "" || e.ValueFrom != nil {
		return false
	}
	return dir != "" && e.Value == dir+"/"+name || slices.ContainsFunc(c.VolumeMounts, func(m volumeMount) bool {
		return m.Name == podspec.ValuesVolume(c.Name) && m.isOurs(c) && e.Value == m.MountPath+"/"+name
	})
}

// envBlock is what stands in front of a container's ENVs: references into its env file, paths of its files, or what the agent in it is told. The zero block is
// nothing.
type envBlock struct {
	envs   []wire.EnvName
	suffix string            // of the ENVs' names in the pod
	dir    string            // of files
	values map[string]string // :: ENV → what the agent is told
	file   []byte            // path of the env file, as JSON; only without dir and values
}

func (p *planner) envBlock(t *target) envBlock {
	switch {
	case t == nil:
	case t.delivery == wire.DeliveryEnvfile:
		return envBlock{envs: t.names.Envs, file: encode(podspec.EnvFile(t.c.Name))}
	case t.delivery == wire.DeliveryFile:
		return envBlock{envs: t.names.Envs, suffix: podspec.FileSuffix, dir: p.filesPath()}
	case t.delivery == wire.DeliveryDirect:
		return p.directBlock(t)
	}
	return envBlock{}
}

// has reports whether e, which is ours, is of this block, if its name is.
func (b *envBlock) has(e *envVar) bool {
	switch {
	case b.values != nil:
		return e.ValueFrom == nil && e.Value == b.values[e.Name]
	case b.dir == "":
		return e.fileRef() != nil
	}
	return e.Value == b.dir+"/"+strings.TrimSuffix(e.Name, podspec.FileSuffix)
}

// append appends an ENV of the block as JSON, without the detour through reflection: pods receive dozens of them.
func (b *envBlock) append(dst []byte, name string) []byte {
	dst = appendString(append(dst, `{"name":`...), name+b.suffix)
	switch {
	case b.values != nil:
		return append(appendString(append(dst, `,"value":`...), b.values[name]), '}')
	case b.dir != "":
		return append(appendString(append(dst, `,"value":`...), b.dir+"/"+name), '}')
	}
	dst = append(dst, `,"valueFrom":{"fileKeyRef":{"volumeName":"`+podspec.VolumeEnv+`","path":`...)
	dst = append(append(dst, b.file...), `,"key":`...)
	return append(appendString(dst, name), "}}}"...)
}

// checkEnvs refuses ENVs that collide with what is injected, or that reach into our volume in a way we would not write.
func (p *planner) checkEnvs(list string, index int, c *container) {
	t := p.wanted(list, index)
	block := p.envBlock(t)
	names := make(map[string]struct{})
	if t != nil {
		for _, env := range t.envs {
			names[env.Name+block.suffix] = struct{}{}
		}
		p.checkInline(t)
	}
	for i := range c.Env {
		e := &c.Env[i]
		ours := e.isOurs(c, block.dir)
		if t.inlineAt(i) != nil || ours && !p.isLost(c, t, e) {
			continue
		}
		_, conflict := names[e.Name]
		switch {
		case ours:
			p.deny(ReasonInlineLost, envField(list, index, i), fmt.Sprintf("ENV %q stands for a value that neither the consumer of container %q has nor %s requests", clip(e.Name), clip(c.Name), podspec.ContainerInit))
		case e.fileRef() != nil:
			p.deny(ReasonVolumeMisused, envField(list, index, i), fmt.Sprintf("ENV %q refers to volume %s, which only the injector may refer to", clip(e.Name), podspec.VolumeEnv))
		case conflict:
			p.deny(ReasonEnvConflict, envField(list, index, i), fmt.Sprintf("container %q sets ENV %s, which is injected too", clip(c.Name), e.Name))
		case t != nil && strings.HasPrefix(e.Name, reservedPrefix):
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

// changeEnv puts the block in front of the container's ENVs, where they can refer to it with $(NAME), and takes away what a copied pod brought and the
// block does not have. Inline references of t are not of the block and stay in their places.
func (p *planner) changeEnv(path string, c *container, t *target) {
	b := p.envBlock(t)
	p.changeInline(path, t)
	missing := make(map[string]struct{}, len(b.envs))
	for _, env := range b.envs {
		missing[env.Name+b.suffix] = struct{}{}
	}
	var ours, stale []int
	for i := range c.Env {
		if e := &c.Env[i]; e.isOurs(c, b.dir) && t.inlineAt(i) == nil {
			ours = append(ours, i)
			if _, want := missing[e.Name]; want && b.has(e) {
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
		p.patch.addEnvs(path, b)
	default:
		p.removeAll(path, ours) // the block goes in as a whole, in the consumer's order
		for i, env := range b.envs {
			p.patch.addEnv(at(path, i), b, env.Name)
		}
	}
}

// removeAll removes elements of a list, the last one first.
func (p *planner) removeAll(path string, indices []int) {
	for i := len(indices) - 1; i >= 0; i-- {
		p.patch.remove(at(path, indices[i]))
	}
}
