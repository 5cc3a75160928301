// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// chooseDeliveries decides how the values reach each target, or says what speaks against every way.
func (p *planner) chooseDeliveries() {
	for _, name := range slices.Sorted(maps.Keys(p.wish.deliveries)) {
		if !slices.ContainsFunc(p.targets, func(t target) bool { return t.c.Name == name }) {
			p.deny(ReasonDeliveryInvalid, annotationField(podspec.AnnotationDeliveryPrefix+clip(name)), fmt.Sprintf("container %q receives no values", clip(name)))
		}
	}
	for i := range p.targets {
		if t := &p.targets[i]; len(t.envs) > 0 {
			p.chooseDelivery(t)
		}
	}
	if p.wish.filesPath != "" && p.envs() > 0 && p.envsBy(wire.DeliveryFile) == 0 {
		p.deny(ReasonFilesPathInvalid, annotationField(podspec.AnnotationFilesPath), "no container receives its values as files")
	}
}

func (p *planner) chooseDelivery(t *target) {
	asked, why := p.wish.delivery, "annotation"
	if own, ok := p.wish.deliveries[t.c.Name]; ok {
		asked = own
	}
	if asked == "" {
		asked, why = cmp.Or(p.rule.Delivery, wire.DeliveryAuto), "policy"
	}
	if asked != wire.DeliveryAuto {
		t.delivery, t.why = asked, why
		if forbidden := p.forbids(t, asked); forbidden != nil {
			p.problems = append(p.problems, forbidden...)
			return
		}
		switch asked {
		case wire.DeliveryEnvfile:
			p.problems = append(p.problems, p.againstEnvfile(t)...)
		case wire.DeliveryExec:
			p.problems = append(p.problems, p.againstWrapping(t, wire.DeliveryExec)...)
		case wire.DeliveryDirect:
			p.problems = append(p.problems, p.againstDirect(t)...)
		}
		return
	}
	envfile := p.againstEnvfileAnywhere(t)
	if len(envfile) == 0 {
		t.delivery, t.why = wire.DeliveryEnvfile, "auto"
		return
	}
	if envfile[0].Reason == ReasonSupportUnknown { // what the cluster can do must not depend on the moment
		p.problems = append(p.problems, envfile...)
		return
	}
	exec := p.againstWrapping(t, wire.DeliveryExec)
	if len(exec) > 0 {
		p.problems = append(append(p.problems, envfile...), exec...)
		return
	}
	t.delivery, t.why = wire.DeliveryExec, "auto: "+envfile[0].Detail
}

// againstEnvfile tells why the kubelet cannot hand the values to t.
func (p *planner) againstEnvfile(t *target) []Problem {
	if forbidden := p.forbids(t, wire.DeliveryEnvfile); forbidden != nil {
		return forbidden
	}
	switch {
	case p.cfg.SupportUnknown:
		return []Problem{p.unknown()}
	case p.cfg.Unsupported != "":
		return []Problem{{Reason: ReasonUnsupported, Detail: p.cfg.Unsupported}}
	}
	return t.unfit(wire.DeliveryEnvfile, func(env wire.EnvName) string { return env.NoEnvfile })
}

// againstEnvfileAnywhere also heeds what a node cannot do: nobody asked for env files, so whoever wrote the pod has not seen to its node.
func (p *planner) againstEnvfileAnywhere(t *target) []Problem {
	problems := p.againstEnvfile(t)
	switch {
	case len(problems) > 0:
	case p.cfg.NodesUnknown:
		return []Problem{p.unknown()}
	case p.cfg.NodesWithoutEnvfile != "":
		return []Problem{{Reason: ReasonUnsupported, Detail: p.cfg.NodesWithoutEnvfile}}
	}
	return problems
}

func (p *planner) unknown() Problem {
	what := "nodes"
	if p.cfg.SupportUnknown {
		what = "API server's version"
	}
	return Problem{Reason: ReasonSupportUnknown, Detail: "the injector has not learnt the cluster's " + what + " yet; try again"}
}

// againstWrapping tells why the command of t cannot be wrapped.
func (p *planner) againstWrapping(t *target, delivery wire.Delivery) []Problem {
	if forbidden := p.forbids(t, delivery); forbidden != nil {
		return forbidden
	}
	field := containerField(t.list, t.index)
	if own, _, sound := unwrap(t.c.Command); sound && len(own) == 0 { // one that is not sound is refused with the pod's structure
		if problems := p.againstImage(t); problems != nil {
			return problems
		}
	}
	problems := t.unfit(delivery, func(env wire.EnvName) string { return env.NoExec })
	if name := t.expands(); name != "" {
		problems = append(problems, Problem{ReasonExpansion, field, fmt.Sprintf("container %q refers to $(%s) in its command, args or env", clip(t.c.Name), name)})
	}
	return problems
}

// unfit tells which values of t a delivery is known not to carry.
func (t *target) unfit(delivery wire.Delivery, rule func(wire.EnvName) string) []Problem {
	var problems []Problem
	for i, env := range t.envs {
		why := rule(env)
		if why == "" {
			continue
		}
		field, source := t.field, "consumer "+t.consumer.String()
		if n := i - len(t.names.Envs); n >= 0 {
			field, source = envField(t.list, t.index, t.inline[n].index), "secret "+t.inline[n].secret.Path()
		}
		problems = append(problems, Problem{ReasonUnrepresentable, field,
			fmt.Sprintf("the delivery %s cannot carry the value of ENV %s of %s to container %q: %s", delivery, env.Name, source, clip(t.c.Name), why)})
	}
	return problems
}

// expands returns an injected ENV that the container refers to with $(NAME), which the kubelet expands from the ENVs it knows: not from values that
// come with exec or direct. Empty if there is none.
func (t *target) expands() string {
	var found string
	look := func(text string) {
		references(text, func(name string) {
			if found == "" && slices.ContainsFunc(t.envs, func(env wire.EnvName) bool { return env.Name == name }) {
				found = name
			}
		})
	}
	for _, text := range t.c.Command {
		look(text)
	}
	for _, text := range t.c.Args {
		look(text)
	}
	for i := range t.c.Env {
		look(t.c.Env[i].Value)
	}
	return found
}

// references calls visit for every $(NAME) in text, as the kubelet reads it: $$ is one dollar and begins none.
func references(text string, visit func(name string)) {
	for {
		dollar := strings.IndexByte(text, '$')
		if dollar < 0 || dollar+1 == len(text) {
			return
		}
		next := text[dollar+1]
		text = text[dollar+2:]
		if next != '(' {
			continue
		}
		if end := strings.IndexByte(text, ')'); end >= 0 {
			visit(text[:end])
			text = text[end+1:]
		}
	}
}

// filesPath is where containers find their files.
func (p *planner) filesPath() string {
	if p.wish.filesPath != "" {
		return p.wish.filesPath
	}
	return podspec.MountFiles
}
