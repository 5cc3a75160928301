// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"fmt"
	"slices"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

func (p *planner) parseFilesMode(value string) string {
	if !slices.Contains(podspec.FileModes, value) {
		p.deny(ReasonFilesModeInvalid, annotationField(podspec.AnnotationFilesMode), fmt.Sprintf("%q is none of %v", clip(value), podspec.FileModes))
	}
	return value
}

// checkFilesMode refuses a mode with which a container could not read its files. They belong to the agent's user and, in a volume of a pod with an fsGroup, to that
// group, of which every container is a member.
func (p *planner) checkFilesMode() {
	if p.wish.filesMode == "" || p.envs() == 0 {
		return
	}
	field := annotationField(podspec.AnnotationFilesMode)
	s := p.pod.Spec.SecurityContext
	switch {
	case p.envsBy(wire.DeliveryFile) == 0:
		p.deny(ReasonFilesModeInvalid, field, "no container receives its values as files")
	case p.wish.filesMode == "0440" && (s == nil || s.FSGroup == nil):
		p.deny(ReasonFilesModeInvalid, field, "the pod has no securityContext.fsGroup, so its containers share no group with the init agent")
	case p.wish.filesMode == "0400":
		for i := range p.targets {
			t := &p.targets[i]
			if t.delivery != wire.DeliveryFile || len(t.names.Envs) == 0 {
				continue
			}
			if user := p.user(t.c); s == nil || s.RunAsUser == nil || *s.RunAsUser == 0 || !equal(user, s.RunAsUser) {
				p.deny(ReasonFilesModeInvalid, containerField(t.list, t.index)+".securityContext.runAsUser",
					fmt.Sprintf("container %q is not known to have the init agent's user, which is that of the pod unless it is root", clip(t.c.Name)))
				return
			}
		}
	}
}

// tellFilesMode adds the mode to what the init agent or the sidecar is told, if it writes files and the pod wants another mode than the default.
func (p *planner) tellFilesMode(c *container, refreshed bool) {
	writes := slices.ContainsFunc(p.targets, func(t target) bool {
		return t.delivery == wire.DeliveryFile && len(t.names.Envs) > 0 && p.isRefreshed(&t) == refreshed
	})
	if mode := p.wish.filesMode; writes && mode != "" && mode != podspec.FileModes[0] {
		c.Env = append(c.Env, envVar{Name: podspec.EnvFilesMode, Value: mode})
	}
}
