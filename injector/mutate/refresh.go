// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// refreshable are the deliveries whose values can change in a running container: an ENV of a process cannot, a file can.
var refreshable = []wire.Delivery{wire.DeliveryFile}

// refresh is what a pod asks for: how often the sidecar looks for other values, and at most one way to tell its containers of them. The zero refresh is none.
type refresh struct {
	interval time.Duration
	url      string
	port     int // of url
	signal   string
	restart  bool
}

// readRefresh parses one of the annotations of a refresh.
func (p *planner) readRefresh(r *refresh, key, value string) {
	var err error
	switch key {
	case podspec.AnnotationRefresh:
		r.interval, err = podspec.ParseRefresh(value)
	case podspec.AnnotationRefreshHTTP:
		r.url = value
		r.port, err = podspec.ParseReloadURL(value)
	case podspec.AnnotationRefreshSignal:
		if r.signal = value; !slices.Contains(podspec.Signals, value) {
			err = fmt.Errorf("is none of %v", podspec.Signals)
		}
	case podspec.AnnotationRefreshRestart:
		if r.restart = value == podspec.RefreshTrue; !r.restart {
			err = fmt.Errorf("is not %q: leave it out instead", podspec.RefreshTrue)
		}
	}
	if err != nil {
		p.deny(ReasonRefreshInvalid, annotationField(key), fmt.Sprintf("%q %v", clip(value), err))
	}
}

// checkRefresh refuses a refresh that would come to nothing, once it is known how each container receives its values.
func (p *planner) checkRefresh() {
	r := &p.wish.refresh
	for _, way := range []struct {
		key   string
		given bool
	}{
		{podspec.AnnotationRefreshHTTP, r.url != ""},
		{podspec.AnnotationRefreshSignal, r.signal != ""},
		{podspec.AnnotationRefreshRestart, r.restart},
	} {
		if way.given && r.interval == 0 {
			p.deny(ReasonRefreshInvalid, annotationField(way.key), "there is no "+podspec.AnnotationRefresh+", so nothing happens that containers could be told of")
		}
	}
	if r.interval == 0 || p.denied() {
		return
	}
	field := annotationField(podspec.AnnotationRefresh)
	switch ways := count(r.url != "", r.signal != "", r.restart); {
	case ways > 1:
		p.deny(ReasonRefreshInvalid, field, "containers can be told in one way only")
	case p.refreshed() == 0:
		p.deny(ReasonRefreshNoFiles, field, "no container receives its values as files, and ENVs of a running container do not change")
	case p.cfg.SupportUnknown:
		p.problems = append(p.problems, p.unknown())
	case p.cfg.RefreshUnsupported != "":
		p.deny(ReasonRefreshUnsupported, field, p.cfg.RefreshUnsupported)
	case r.restart && p.cfg.RestartUnsupported != "":
		p.deny(ReasonRefreshUnsupported, annotationField(podspec.AnnotationRefreshRestart), p.cfg.RestartUnsupported)
	case r.url != "":
		p.checkReloadURL()
	case r.signal != "":
		p.checkSignal()
	}
}

func count(given ...bool) (n int) {
	for _, g := range given {
		if g {
			n++
		}
	}
	return n
}

// isRefreshed reports whether the sidecar brings the values of t.
func (p *planner) isRefreshed(t *target) bool {
	return p.wish.refresh.interval > 0 && len(t.envs) > 0 && slices.Contains(refreshable, t.delivery)
}

// refreshed counts the containers whose values the sidecar brings.
func (p *planner) refreshed() (n int) {
	for i := range p.targets {
		if p.isRefreshed(&p.targets[i]) {
			n++
		}
	}
	return n
}

// checkReloadURL demands that what answers is one of the containers: in the node's network it would be anybody, and on a port that no container claims
// perhaps another injector's sidecar.
func (p *planner) checkReloadURL() {
	field := annotationField(podspec.AnnotationRefreshHTTP)
	if p.pod.Spec.HostNetwork {
		p.deny(ReasonRefreshUnreachable, field, "the pod uses the node's network, where 127.0.0.1 is the node")
		return
	}
	for i := range p.targets {
		t := &p.targets[i]
		if p.isRefreshed(t) && slices.ContainsFunc(t.c.Ports, func(c containerPort) bool { return c.ContainerPort == p.wish.refresh.port }) {
			return
		}
	}
	p.deny(ReasonRefreshUnreachable, field, fmt.Sprintf("no container with refreshed files has port %d among its ports", p.wish.refresh.port))
}

// checkSignal demands that the sidecar sees the containers' processes, and may signal them: the kernel lets it if they are of one user.
func (p *planner) checkSignal() {
	field := annotationField(podspec.AnnotationRefreshSignal)
	if !p.pod.Spec.ShareProcessNamespace {
		p.deny(ReasonRefreshUnreachable, field, "the pod does not share its process namespace, so the sidecar sees no other container's processes")
		return
	}
	for i := range p.targets {
		t := &p.targets[i]
		if !p.isRefreshed(t) {
			continue
		}
		switch user := p.user(t.c); {
		case user == nil:
			p.deny(ReasonRefreshUnreachable, containerField(t.list, t.index)+".securityContext.runAsUser", fmt.Sprintf("the user of container %q is known to its image only, and the sidecar may signal its own user's processes only", clip(t.c.Name)))
		case *user == 0:
			p.deny(ReasonRefreshUnreachable, containerField(t.list, t.index)+".securityContext.runAsUser", fmt.Sprintf("container %q runs as root, which the sidecar does not and so may not signal", clip(t.c.Name)))
		case *user != *p.signalUser():
			p.deny(ReasonRefreshUnreachable, containerField(t.list, t.index)+".securityContext.runAsUser", fmt.Sprintf("container %q has another user than the first one whose files are refreshed", clip(t.c.Name)))
		default:
			continue
		}
		return
	}
}

// user is the one a container is told to run as; nil if that is its image's.
func (p *planner) user(c *container) *int64 {
	if s := c.SecurityContext; s != nil && s.RunAsUser != nil {
		return s.RunAsUser
	}
	if s := p.pod.Spec.SecurityContext; s != nil {
		return s.RunAsUser
	}
	return nil
}

// signalUser is whom the sidecar has to be to signal the containers.
func (p *planner) signalUser() *int64 {
	for i := range p.targets {
		if t := &p.targets[i]; p.isRefreshed(t) {
			return p.user(t.c)
		}
	}
	return nil
}

// sidecar returns the container that brings the values of those that are refreshed, made of the init agent's.
func (p *planner) sidecar() *container {
	c, r := p.agent(true), &p.wish.refresh
	c.Name, c.RestartPolicy = podspec.ContainerSidecar, "Always"
	c.Env = append(c.Env, envVar{Name: podspec.EnvMode, Value: podspec.ModeSidecar}, envVar{Name: podspec.EnvRefresh, Value: r.interval.String()})
	switch {
	case r.url != "":
		c.Env = append(c.Env, envVar{Name: podspec.EnvRefreshHTTP, Value: r.url})
	case r.signal != "":
		c.Env = append(c.Env, envVar{Name: podspec.EnvRefreshSignal, Value: r.signal})
		if user := p.signalUser(); p.pod.Spec.SecurityContext == nil || !equal(p.pod.Spec.SecurityContext.RunAsUser, user) {
			c.SecurityContext.RunAsUser = ptr(*user)
		}
	case r.restart:
		c.Env = append(c.Env, envVar{Name: podspec.EnvRefreshRestart, Value: podspec.RefreshTrue})
		c.RestartPolicyRules = []restartRule{{Action: "RestartAllContainers", ExitCodes: &exitCodes{Operator: "In", Values: []int32{podspec.ExitRestart}}}}
	}
	// The kubelet starts the next container when this has succeeded. Until its deadline the agent decides itself whether to go on trying; only one that hangs is
	// ended by the threshold.
	const margin = 30
	c.StartupProbe = &probe{
		Exec:          &execAction{Command: []string{podspec.AgentPath, podspec.ModeStarted}},
		PeriodSeconds: 1, TimeoutSeconds: 10, FailureThreshold: int32(p.cfg.Deadline/time.Second) + margin,
	}
	c.Resources = p.sidecarResources()
	return c
}

// sidecarCPU is what a sidecar may use in a pod whose containers all have requests that are their limits. Unlike an init agent's it is added to the pod's own: so
// it is as little as lets a TLS handshake pass within two of the kernel's periods of 100 ms.
var sidecarCPU = resource.MustParse("50m")

// sidecarResources follow the rules of those of the init agent.
func (p *planner) sidecarResources() *resources {
	r := p.resourcesFor()
	if r == nil {
		return nil
	}
	limit, limited := r.Limits[cpu]
	if request := r.Requests[cpu]; limited && limit.Cmp(request) == 0 && limit.Cmp(sidecarCPU) > 0 {
		c := sidecarCPU
		if c.Cmp(p.cfg.CPURequest) < 0 {
			c = p.cfg.CPURequest
		}
		r.Limits.set(cpu, c)
		r.Requests.set(cpu, c) // one map where both are the same
	}
	return r
}

// isSidecar reports whether c has the shape of a sidecar of ours, of whatever image and configuration.
func (c *container) isSidecar() bool {
	return c.bare() && c.RestartPolicy == "Always" && c.isTold()
}
