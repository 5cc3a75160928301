// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// wanted returns the target that a container is, or nil if it receives nothing.
func (p *planner) wanted(list string, index int) *target {
	for i := range p.targets {
		if t := &p.targets[i]; t.list == list && t.index == index && len(t.envs) > 0 {
			return t
		}
	}
	return nil
}

// changeContainers makes every container but ours receive what it should, and takes away what a copied pod brought and it should not.
func (p *planner) changeContainers() {
	p.pod.Spec.each(func(list string, index int, c *container) {
		if list == listEphemeral {
			return
		}
		t, prefix := p.wanted(list, index), at("/spec/"+list, index)
		p.changeCommand(prefix+"/command", c, t)
		p.changeEnv(prefix+"/env", c, t)
		p.changeMounts(prefix+"/volumeMounts", c, p.mounts(t))
	})
}

// unwrap returns the container's own command: without our wrapper, however often it stands there. Sound is false if what is there begins as our wrapper does
// and does not go on as we write it.
func unwrap(command []string) (own []string, sound bool) {
	wrapper := podspec.Wrapper()
	for len(command) > 0 && command[0] == wrapper[0] {
		if len(command) <= len(wrapper) || !slices.Equal(command[:len(wrapper)], wrapper) {
			return nil, false
		}
		command = command[len(wrapper):]
	}
	return command, true
}

func (p *planner) changeCommand(path string, c *container, t *target) {
	want, _ := unwrap(c.Command)
	if t != nil && t.delivery == wire.DeliveryExec {
		want = append(podspec.Wrapper(), want...)
	}
	if !slices.Equal(c.Command, want) {
		p.patch.replace(path, want)
	}
}

// mounts returns what t has of our volumes.
func (p *planner) mounts(t *target) []volumeMount {
	switch {
	case t == nil:
	case t.delivery == wire.DeliveryExec:
		return []volumeMount{
			{Name: podspec.VolumeBin, ReadOnly: true, MountPath: podspec.MountBin},
			{Name: podspec.ValuesVolume(t.c.Name), ReadOnly: true, MountPath: podspec.MountValues},
		}
	case t.delivery == wire.DeliveryFile:
		return []volumeMount{{Name: podspec.ValuesVolume(t.c.Name), ReadOnly: true, MountPath: p.filesPath()}}
	}
	return nil
}

// isOurs reports whether m is a mount that we could have written into the container so named. Wherever it is, it shows that container nothing but its own
// values, and lets it change nothing.
func (m *volumeMount) isOurs(container string) bool {
	return m.ReadOnly && m.SubPath == "" && m.SubPathExpr == "" && (m.Name == podspec.VolumeBin || m.Name == podspec.ValuesVolume(container))
}

func (p *planner) changeMounts(path string, c *container, want []volumeMount) {
	var ours []int
	var have []volumeMount
	for i := range c.VolumeMounts {
		if m := &c.VolumeMounts[i]; isOwnVolume(m.Name) && m.isOurs(c.Name) {
			ours, have = append(ours, i), append(have, *m)
		}
	}
	if slices.Equal(have, want) {
		return
	}
	p.removeAll(path, ours)
	if len(c.VolumeMounts) == 0 {
		p.patch.add(path, want)
		return
	}
	for _, m := range want {
		p.patch.add(path+"/-", m)
	}
}

// isOwnVolume reports whether only we may use a volume of that name.
func isOwnVolume(name string) bool {
	return name == podspec.VolumeEnv || name == podspec.VolumeToken || name == podspec.VolumeBin || strings.HasPrefix(name, podspec.VolumeValuesPrefix)
}

// checkMounts refuses mounts of our volumes that we would not write, and others where ours go.
func (p *planner) checkMounts(list string, index int, c *container) {
	want := p.mounts(p.wanted(list, index))
	for i := range c.VolumeMounts {
		m := &c.VolumeMounts[i]
		field := fmt.Sprintf("%s.volumeMounts[%d]", containerField(list, index), i)
		switch {
		case isOwnVolume(m.Name):
			if list == listEphemeral || !m.isOurs(c.Name) {
				p.deny(ReasonVolumeMisused, field, fmt.Sprintf("container %q mounts volume %s", clip(c.Name), clip(m.Name)))
			}
		case slices.ContainsFunc(want, func(w volumeMount) bool { return w.MountPath == path.Clean(m.MountPath) }):
			p.deny(ReasonMountConflict, field, fmt.Sprintf("container %q mounts volume %q at %s", clip(c.Name), clip(m.Name), clip(m.MountPath)))
		}
		if len(p.problems) > maxProblems {
			return
		}
	}
}

// checkCommand refuses a command that begins as a wrapped one does and is none.
func (p *planner) checkCommand(list string, index int, c *container) {
	if _, sound := unwrap(c.Command); !sound {
		p.deny(ReasonWrapper, containerField(list, index)+".command", fmt.Sprintf("container %q runs the init agent's binary itself", clip(c.Name)))
	}
}
