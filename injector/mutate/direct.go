// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"cmp"
	"slices"
	"strings"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// defaultTerminationLog is where the kubelet mounts the termination message of a container that says nothing else. The agent knows it.
const defaultTerminationLog = "/dev/termination-log"

// directEnvs are the ENVs by which the agent in a container of the direct delivery is told what to fetch. In such a container they are ours.
var directEnvs = []string{podspec.EnvURL, podspec.EnvServerName, podspec.EnvCA, podspec.EnvRequest, podspec.EnvDeadline, podspec.EnvTerminationLog}

// fetches reports whether the container, as it came, has the command of the direct delivery.
func (c *container) fetches() bool {
	_, mode, _ := unwrap(c.Command)
	return mode == podspec.ModeDirect
}

// isDirect reports whether e, of a container of the direct delivery, is one we write there.
func (e *envVar) isDirect(c *container) bool {
	return e.ValueFrom == nil && slices.Contains(directEnvs, e.Name) && c.fetches()
}

// againstDirect tells why the container cannot fetch its values itself.
func (p *planner) againstDirect(t *target) []Problem {
	if forbidden := p.forbids(t, wire.DeliveryDirect); forbidden != nil {
		return forbidden
	}
	switch {
	case p.cfg.SupportUnknown, p.cfg.NodesUnknown:
		return []Problem{p.unknown()}
	case !p.cfg.ImageVolumes:
		why := cmp.Or(p.cfg.NoImageVolumes, "the cluster is not known to mount images as volumes")
		return []Problem{{Reason: ReasonUnsupported, Detail: why}}
	}
	return p.againstWrapping(t, wire.DeliveryDirect)
}

// imageBin reports whether the agent's binary comes from an image volume, to all containers whose command is wrapped.
func (p *planner) imageBin() bool {
	return p.cfg.ImageVolumes && p.wraps()
}

// wraps reports whether any container's command is wrapped.
func (p *planner) wraps() bool {
	return p.envsBy(wire.DeliveryExec)+p.envsBy(wire.DeliveryDirect) > 0
}

// needsAgent reports whether there are values that neither the container fetches itself nor the sidecar for it.
func (p *planner) needsAgent() bool {
	return slices.ContainsFunc(p.targets, func(t target) bool {
		return len(t.envs) > 0 && t.delivery != wire.DeliveryDirect && !p.isRefreshed(&t)
	})
}

// directBlock is what the agent in t is told.
func (p *planner) directBlock(t *target) envBlock {
	b := envBlock{values: map[string]string{
		podspec.EnvURL:      p.url(),
		podspec.EnvCA:       p.cfg.CA,
		podspec.EnvRequest:  requestFor(p.audiences(t), t.request()),
		podspec.EnvDeadline: p.cfg.Deadline.String(),
	}}
	if p.cfg.ServerName != "" {
		b.values[podspec.EnvServerName] = p.cfg.ServerName
	}
	if path := t.c.TerminationMessagePath; path != defaultTerminationLog && strings.HasPrefix(path, "/") {
		b.values[podspec.EnvTerminationLog] = path
	}
	for _, name := range directEnvs {
		if _, ok := b.values[name]; ok {
			b.envs = append(b.envs, wire.EnvName{Name: name})
		}
	}
	return b
}

// directMounts is what t has of our volumes, with the token the init agent would have alone.
func directMounts() []volumeMount {
	return []volumeMount{
		{Name: podspec.VolumeBin, ReadOnly: true, MountPath: podspec.MountBin},
		{Name: podspec.VolumeToken, ReadOnly: true, MountPath: podspec.MountToken},
	}
}
