// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"slices"
	"strings"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// agentUser is the user of the init agent's image. It is only written into pods that run as root: elsewhere the pod's own user, or the one OpenShift
// assigns, is right, and one user for all containers is what lets the kubelet keep tokens at mode 0600.
const agentUser int64 = 65532

// agent returns the init container for the pod, or what the sidecar has in common with it: the values of some containers are brought by the one, those of the
// others by the other.
func (p *planner) agent(refreshed bool) *container {
	c := &container{
		Name:            podspec.ContainerInit,
		Image:           p.cfg.Image,
		ImagePullPolicy: p.cfg.PullPolicy,
		Env: []envVar{
			{Name: podspec.EnvURL, Value: p.url()},
			{Name: podspec.EnvCA, Value: p.cfg.CA},
			{Name: podspec.EnvRequest, Value: p.request(refreshed)},
			{Name: podspec.EnvDeadline, Value: p.cfg.Deadline.String()},
		},
		VolumeMounts: p.agentMounts(refreshed),
		Resources:    p.resourcesFor(),
		SecurityContext: &securityContext{
			RunAsNonRoot:             ptr(true),
			AllowPrivilegeEscalation: ptr(false),
			ReadOnlyRootFilesystem:   ptr(true),
			Capabilities:             &capabilities{Drop: []string{"ALL"}},
			SeccompProfile:           &seccompProfile{Type: "RuntimeDefault"},
		},
		TerminationMessagePath:   "/dev/termination-log",
		TerminationMessagePolicy: "FallbackToLogsOnError", // an agent that could not say why it died has said something in its log
	}
	if p.cfg.ServerName != "" {
		c.Env = slices.Insert(c.Env, 1, envVar{Name: podspec.EnvServerName, Value: p.cfg.ServerName})
	}
	p.tellFiles(c, refreshed)
	if p.imageBin() && !refreshed {
		c.Env = append(c.Env, envVar{Name: podspec.EnvBinDir, Value: podspec.BinNowhere})
	}
	if s := p.pod.Spec.SecurityContext; s != nil && s.RunAsUser != nil && *s.RunAsUser == 0 {
		c.SecurityContext.RunAsUser = ptr(agentUser)
	}
	return c
}

// url is where the pod finds the registry.
func (p *planner) url() string {
	if p.pod.Spec.HostNetwork && p.pod.Spec.DNSPolicy != "ClusterFirstWithHostNet" && p.cfg.HostNetworkURL != "" {
		return p.cfg.HostNetworkURL
	}
	return p.cfg.URL
}

// agentMounts are those of the init agent, or of the sidecar: what it writes to, and its token.
func (p *planner) agentMounts(refreshed bool) []volumeMount {
	var mounts []volumeMount
	if p.envsBy(wire.DeliveryEnvfile) > 0 && !refreshed {
		mounts = append(mounts, volumeMount{Name: podspec.VolumeEnv, MountPath: podspec.MountEnv})
	}
	mounts = append(mounts, volumeMount{Name: podspec.VolumeToken, MountPath: podspec.MountToken, ReadOnly: true})
	if p.envsBy(wire.DeliveryExec) > 0 && !p.imageBin() && !refreshed {
		mounts = append(mounts, volumeMount{Name: podspec.VolumeBin, MountPath: podspec.MountBin})
	}
	for i := range p.targets {
		if t := &p.targets[i]; t.ownVolume() && p.isRefreshed(t) == refreshed {
			mounts = append(mounts, volumeMount{Name: podspec.ValuesVolume(t.c.Name), MountPath: podspec.MountValues + "/" + t.c.Name})
		}
	}
	return mounts
}

// ownVolume reports whether the values of t have a volume of their own.
func (t *target) ownVolume() bool {
	return t.delivery == wire.DeliveryExec || t.delivery == wire.DeliveryFile
}

// request is the resolve request the init agent sends, or the sidecar: the ENVs the pod refers to, fixed now.
func (p *planner) request(refreshed bool) string {
	var containers []wire.ContainerRequest
	var audiences []string
	for i := range p.targets {
		t := &p.targets[i]
		if len(t.envs) > 0 && t.delivery != wire.DeliveryDirect && p.isRefreshed(t) == refreshed {
			containers, audiences = append(containers, t.request()), append(audiences, p.audiences(t)...)
		}
	}
	return requestFor(audiences, containers...)
}

// requestFor returns a request of the oldest protocol that says all of it, for registries and agents that are old. Of the tokens to send along it names the audiences.
func requestFor(audiences []string, containers ...wire.ContainerRequest) string {
	r := wire.ResolveRequest{Protocol: wire.ProtocolConsumers, Containers: containers}
	if slices.ContainsFunc(containers, func(c wire.ContainerRequest) bool { return len(c.Inline) > 0 }) {
		r.Protocol = wire.ProtocolInline
	}
	slices.Sort(audiences)
	for _, audience := range slices.Compact(audiences) {
		r.ProviderTokens = append(r.ProviderTokens, wire.ProviderToken{Audience: audience})
	}
	return string(encode(r))
}

func (t *target) request() wire.ContainerRequest {
	c := wire.ContainerRequest{Name: t.c.Name, Consumer: t.consumerText(), Delivery: t.delivery, Envs: make([]string, len(t.names.Envs))}
	for i, env := range t.names.Envs {
		c.Envs[i] = env.Name
	}
	for _, env := range t.inline {
		c.Inline = append(c.Inline, wire.InlineEnv{Name: env.name, Secret: env.secret.String()})
	}
	return c
}

// is reports whether c, which has the shape of an init agent, works exactly as w. What admission plugins and other webhooks add to every container is
// tolerated where it changes nothing for the agent: service account mounts below /var/run/secrets, ENVs that are not ours, a pull policy, more resources,
// an assigned user.
func (c *container) is(w *container) bool {
	return c.Image == w.Image && c.SecurityContext.is(w.SecurityContext) && c.Resources.covers(w.Resources) && c.lives(w) &&
		slices.EqualFunc(c.ownEnv(), w.Env, envVar.is) && c.sameMounts(w)
}

// lives reports whether the kubelet starts, watches and restarts c as w.
func (c *container) lives(w *container) bool {
	return c.RestartPolicy == w.RestartPolicy && !bool(c.LivenessProbe) && !bool(c.ReadinessProbe) &&
		slices.EqualFunc(c.RestartPolicyRules, w.RestartPolicyRules, restartRule.is) && c.StartupProbe.is(w.StartupProbe)
}

func (c *container) ownEnv() []envVar {
	var own []envVar
	for _, e := range c.Env {
		if strings.HasPrefix(e.Name, reservedPrefix) {
			own = append(own, e)
		}
	}
	return own
}

func (e envVar) is(w envVar) bool {
	if e.Name != w.Name || e.Value != w.Value || (e.ValueFrom == nil) != (w.ValueFrom == nil) {
		return false
	}
	return e.ValueFrom == nil || e.ValueFrom.FileKeyRef != nil && *e.ValueFrom.FileKeyRef == *w.ValueFrom.FileKeyRef
}

func (c *container) sameMounts(w *container) bool {
	matched := 0
	for _, m := range c.VolumeMounts {
		switch {
		case slices.Contains(w.VolumeMounts, m):
			matched++
		case !strings.HasPrefix(m.MountPath, "/var/run/secrets/"), strings.Contains(m.MountPath, ".."):
			return false
		}
	}
	return matched == len(w.VolumeMounts)
}

func (s *securityContext) is(w *securityContext) bool {
	return s != nil &&
		equal(s.RunAsNonRoot, w.RunAsNonRoot) && equal(s.AllowPrivilegeEscalation, w.AllowPrivilegeEscalation) && equal(s.ReadOnlyRootFilesystem, w.ReadOnlyRootFilesystem) &&
		(s.Privileged == nil || !*s.Privileged) &&
		(w.RunAsUser == nil && (s.RunAsUser == nil || *s.RunAsUser != 0) || equal(s.RunAsUser, w.RunAsUser)) &&
		s.Capabilities != nil && len(s.Capabilities.Add) == 0 && slices.Equal(s.Capabilities.Drop, w.Capabilities.Drop) &&
		s.SeccompProfile != nil && *s.SeccompProfile == *w.SeccompProfile
}

// own returns the init containers the pod is to have of us, in order.
func (p *planner) own() []*container {
	var own []*container
	if p.needsAgent() {
		agent := p.agent(false)
		own = append(own, agent)
		if p.cfg.Verify && p.envsBy(wire.DeliveryEnvfile) > 0 {
			own = append(own, verifier(agent))
		}
	}
	if p.refreshed() > 0 {
		own = append(own, p.sidecar())
	}
	return own
}

// verifier returns the container that proves, after the agent has written, that this node's kubelet reads env files.
func verifier(agent *container) *container {
	v := *agent
	v.Name, v.VolumeMounts = podspec.ContainerVerify, nil
	v.Env = []envVar{
		{Name: podspec.EnvMode, Value: podspec.ModeVerify},
		{Name: podspec.EnvProof, ValueFrom: &envSource{&fileKeyRef{VolumeName: podspec.VolumeEnv, Path: podspec.ProofFile, Key: podspec.EnvProof}}},
	}
	return &v
}

func ptr[T any](v T) *T { return &v }

func equal[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }
