// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"fmt"
	"slices"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
)

// checkStructure refuses pods in which something stands where we would stand, or reaches for what only the init agent may have. It looks at every
// container, whether it receives values or not.
func (p *planner) checkStructure() {
	spec := &p.pod.Spec
	p.checkOwnContainer(podspec.ContainerInit, (*container).isAgent)
	p.checkOwnContainer(podspec.ContainerVerify, (*container).isVerifier)
	p.checkOwnContainer(podspec.ContainerSidecar, (*container).isSidecar)
	for i := range spec.Volumes {
		p.checkOwnVolume(i, &spec.Volumes[i])
	}
	spec.each(func(list string, index int, c *container) {
		if len(p.problems) > maxProblems {
			return
		}
		field := containerField(list, index)
		if slices.Contains(ownNames, c.Name) {
			p.deny(ReasonNameTaken, field+".name", fmt.Sprintf("the name %s is the init agent's", c.Name))
		}
		p.checkMounts(list, index, c)
		p.checkEnvs(list, index, c)
		p.checkCommand(list, index, c)
	})
}

// checkOwnContainer refuses an init container that has our name but is not recognizably the init agent.
func (p *planner) checkOwnContainer(name string, isOurs func(*container) bool) {
	spec := &p.pod.Spec
	index := spec.ours(name)
	if index < 0 {
		return
	}
	if c := &spec.InitContainers[index]; !isOurs(c) {
		p.deny(ReasonNameTaken, containerField(listInit, index)+".name", fmt.Sprintf("an init container is called %s but is not the init agent", name))
	}
	for i := index + 1; i < len(spec.InitContainers); i++ {
		if spec.InitContainers[i].Name == name {
			p.deny(ReasonNameTaken, containerField(listInit, i)+".name", fmt.Sprintf("the name %s is the init agent's", name))
			return
		}
	}
}

// bare reports whether c runs its image's own entry point and nothing else.
func (c *container) bare() bool {
	return len(c.Command) == 0 && len(c.Args) == 0 && !bool(c.EnvFrom) && !bool(c.Lifecycle)
}

// plain reports whether c is bare and no native sidecar.
func (c *container) plain() bool { return c.bare() && c.RestartPolicy == "" }

// isVerifier reports whether c has the shape of the container that proves the kubelet: the agent in another mode, without our volumes.
func (c *container) isVerifier() bool {
	mounts := slices.ContainsFunc(c.VolumeMounts, func(m volumeMount) bool { return isOwnVolume(m.Name) })
	return c.plain() && !mounts && slices.ContainsFunc(c.Env, func(e envVar) bool { return e.Name == podspec.EnvMode && e.Value == podspec.ModeVerify })
}

// isAgent reports whether c has the shape of an injected init agent, of whatever image and configuration: it runs its image's own entry point, is told what
// to request, and has the token. Whatever else it has is replaced.
func (c *container) isAgent() bool { return c.plain() && c.isTold() }

// isTold reports whether c is told what to request, and has the token.
func (c *container) isTold() bool {
	var token, request bool
	for _, m := range c.VolumeMounts {
		token = token || m.Name == podspec.VolumeToken && m.MountPath == podspec.MountToken && m.SubPath == ""
	}
	for i := range c.Env {
		request = request || c.Env[i].Name == podspec.EnvRequest && c.Env[i].ValueFrom == nil
	}
	return token && request
}

// checkOwnVolume refuses a volume that has one of our names and is of another kind.
func (p *planner) checkOwnVolume(index int, v *volume) {
	if !isOwnVolume(v.Name) {
		return
	}
	var ours bool
	switch v.Name {
	case podspec.VolumeToken:
		ours = v.onlyTokens()
	case podspec.VolumeBin:
		ours = v.EmptyDir != nil && v.EmptyDir.Medium == "" || v.Image != nil
	default:
		ours = v.EmptyDir != nil && v.EmptyDir.Medium == mediumMemory
	}
	if !ours {
		p.deny(ReasonNameTaken, fmt.Sprintf("spec.volumes[%d].name", index), fmt.Sprintf("a volume is called %s but is not what the injector adds", clip(v.Name)))
	}
}
