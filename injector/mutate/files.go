// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

func (p *planner) parseFilesMode(value string) podspec.FilesMode {
	mode, err := podspec.ParseFilesMode(value)
	if err != nil {
		p.deny(ReasonFilesModeInvalid, annotationField(podspec.AnnotationFilesMode), fmt.Sprintf("%q %v", clip(value), err))
	}
	return mode
}

func (p *planner) parseFilesBundle(value string) []string {
	formats, err := podspec.ParseBundles(value)
	if err == nil && formats == nil {
		err = errors.New("names no format")
	}
	if err != nil {
		p.deny(ReasonFilesBundleInvalid, annotationField(podspec.AnnotationFilesBundle), fmt.Sprintf("%q %v", clip(value), err))
	}
	return formats
}

// receivesFiles reports whether t has files.
func (t *target) receivesFiles() bool { return t.delivery == wire.DeliveryFile && len(t.envs) > 0 }

// files are the names of the files of t.
func (p *planner) files(t *target) []string {
	names := make([]string, 0, len(t.envs)+len(p.wish.bundles))
	for _, env := range t.envs {
		names = append(names, env.Name)
	}
	for _, format := range p.wish.bundles {
		names = append(names, podspec.BundleFile(format))
	}
	return names
}

// checkFiles refuses what is said of files that nobody receives, and a mode with which a container could not read one of its files. They belong to the agent's user and,
// in a volume of a pod with an fsGroup, to that group, of which every container is a member.
func (p *planner) checkFiles() {
	if p.envs() == 0 {
		return
	}
	none := p.envsBy(wire.DeliveryFile) == 0
	if none && p.wish.bundles != nil {
		p.deny(ReasonFilesBundleInvalid, annotationField(podspec.AnnotationFilesBundle), "no container receives its values as files")
	}
	if p.wish.filesModeText == "" {
		return
	}
	field := annotationField(podspec.AnnotationFilesMode)
	if none {
		p.deny(ReasonFilesModeInvalid, field, "no container receives its values as files")
		return
	}
	for _, name := range p.wish.filesMode.Named() {
		if !slices.ContainsFunc(p.targets, func(t target) bool { return t.receivesFiles() && slices.Contains(p.files(&t), name) }) {
			p.deny(ReasonFilesModeInvalid, field, fmt.Sprintf("no container receives a file %q", clip(name)))
			return
		}
	}
	for i := range p.targets {
		if t := &p.targets[i]; t.receivesFiles() && !p.readable(t, field) {
			return
		}
	}
}

// readable reports whether t can read its files, or says which it could not.
func (p *planner) readable(t *target, field string) bool {
	s := p.pod.Spec.SecurityContext
	for _, name := range p.files(t) {
		switch p.wish.filesMode.Of(name) {
		case 0o440:
			if s == nil || s.FSGroup == nil {
				p.deny(ReasonFilesModeInvalid, field, "the pod has no securityContext.fsGroup, so its containers share no group with the init agent")
				return false
			}
		case 0o400:
			if user := p.user(t.c); s == nil || s.RunAsUser == nil || *s.RunAsUser == 0 || !equal(user, s.RunAsUser) {
				p.deny(ReasonFilesModeInvalid, containerField(t.list, t.index)+".securityContext.runAsUser",
					fmt.Sprintf("container %q is not known to have the init agent's user, which is that of the pod unless it is root", clip(t.c.Name)))
				return false
			}
		}
	}
	return true
}

// tellFiles adds to what the init agent or the sidecar is told what the pod wants of files, if it writes files and the pod wants another thing than the default.
func (p *planner) tellFiles(c *container, refreshed bool) {
	if !slices.ContainsFunc(p.targets, func(t target) bool { return t.receivesFiles() && p.isRefreshed(&t) == refreshed }) {
		return
	}
	if mode := p.wish.filesModeText; mode != "" && mode != podspec.FileModes[0] {
		c.Env = append(c.Env, envVar{Name: podspec.EnvFilesMode, Value: mode})
	}
	if bundles := p.wish.bundles; bundles != nil {
		c.Env = append(c.Env, envVar{Name: podspec.EnvFilesBundle, Value: strings.Join(bundles, ",")})
	}
}
