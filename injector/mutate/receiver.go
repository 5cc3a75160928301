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
		p.changeCommand(prefix, c, t)
		p.changeEnv(prefix+"/env", c, t)
		p.changeMounts(prefix+"/volumeMounts", c, p.mounts(t))
	})
}

// unwrap returns the container's own command: without our wrapper, however often it stands there, and the mode of the outermost one. Sound is false if what is
// there begins as our wrapper does and does not go on as we write it.
func unwrap(command []string) (own []string, mode string, sound bool) {
	for len(command) > 0 && command[0] == wrappers[0][0] {
		i := slices.IndexFunc(wrappers, func(w []string) bool { return len(command) > len(w) && slices.Equal(command[:len(w)], w) })
		if i < 0 {
			return nil, "", false
		}
		if mode == "" {
			mode = wrappers[i][1]
		}
		command = command[len(wrappers[i]):]
	}
	return command, mode, true
}

// wrappers are those of both modes. They begin with the same program.
var wrappers = [][]string{podspec.Wrapper(podspec.ModeExec), podspec.Wrapper(podspec.ModeDirect)}

func (p *planner) changeCommand(prefix string, c *container, t *target) {
	want, _, _ := unwrap(c.Command)
	if t != nil && t.image != nil {
		want = p.changeImage(prefix, t)
	}
	switch {
	case t == nil:
	case t.delivery == wire.DeliveryExec:
		want = append(podspec.Wrapper(podspec.ModeExec), want...)
	case t.delivery == wire.DeliveryDirect:
		want = append(podspec.Wrapper(podspec.ModeDirect), want...)
	}
	switch path := prefix + "/command"; {
	case slices.Equal(c.Command, want):
	case len(c.Command) == 0:
		p.patch.add(path, want)
	default:
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
	case t.delivery == wire.DeliveryDirect:
		return directMounts()
	case t.delivery == wire.DeliveryFile:
		return []volumeMount{{Name: podspec.ValuesVolume(t.c.Name), ReadOnly: true, MountPath: p.filesPath()}}
	}
	return nil
}

// isOurs reports whether m is a mount that we could have written into c. Wherever it is, it shows that container nothing but its own values, or the token with
// which it gets them, and lets it change nothing.
func (m *volumeMount) isOurs(c *container) bool {
	return m.ReadOnly && m.SubPath == "" && m.SubPathExpr == "" &&
		(m.Name == podspec.VolumeBin || m.Name == podspec.ValuesVolume(c.Name) || m.Name == podspec.VolumeToken && c.fetches())
}

func (p *planner) changeMounts(path string, c *container, want []volumeMount) {
	var ours []int
	var have []volumeMount
	for i := range c.VolumeMounts {
		if m := &c.VolumeMounts[i]; isOwnVolume(m.Name) && m.isOurs(c) {
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
			if list == listEphemeral || !m.isOurs(c) {
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
	if _, _, sound := unwrap(c.Command); !sound {
		p.deny(ReasonWrapper, containerField(list, index)+".command", fmt.Sprintf("container %q runs the init agent's binary itself", clip(c.Name)))
	}
}
