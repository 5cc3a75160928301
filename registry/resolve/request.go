// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// maxContainerName is that of a DNS label, which Kubernetes demands of containers.
const maxContainerName = 63

// Request is a resolve request that keeps every rule which does not depend on who asks. [Parse] and [Decode] make it; the zero Request asks for nothing.
type Request struct {
	containers []wire.ContainerRequest
	consumers  []ref.Consumer // of each container; zero if it has none
	inline     [][]ref.Secret // of each container, as its Inline; nil if there are none
	mark       string         // of the answer the caller has; empty if it has none
	tokens     []wire.ProviderToken
	starting   bool // the containers hold nothing of earlier answers
}

// ProviderTokens are the tokens that came along for providers, each for another audience. Whose they are is for the caller to find out before he resolves the request.
func (r Request) ProviderTokens() []wire.ProviderToken { return r.tokens }

// Refresh reports whether the caller has values already and wants others only.
func (r Request) Refresh() bool { return r.mark != "" }

// containerNames are the names of the containers, in the order of the request.
func (r Request) containerNames() []string {
	names := make([]string, len(r.containers))
	for i, c := range r.containers {
		names[i] = c.Name
	}
	return names
}

// Deliveries returns each delivery that is asked for once.
func (r Request) Deliveries() []wire.Delivery {
	var deliveries []wire.Delivery
	for _, c := range r.containers {
		if !slices.Contains(deliveries, c.Delivery) {
			deliveries = append(deliveries, c.Delivery)
		}
	}
	return deliveries
}

// Decode parses the body of a resolve request. Unknown fields are ignored; the problem quotes nothing of the body but names.
func Decode(body []byte) (Request, *Refusal) {
	var req wire.ResolveRequest
	if err := json.Unmarshal(body, &req); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return Request{}, invalid("the body is not JSON: syntax error at byte %d", syntax.Offset)
		}
		if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && mismatch.Field != "" {
			return Request{}, invalid("the field %s is of the wrong type", mismatch.Field)
		}
		return Request{}, invalid("the body is no resolve request")
	}
	return Parse(req)
}

func invalid(format string, args ...any) *Refusal {
	return refuse(wire.CodeInvalid, fmt.Sprintf(format, args...), nil)
}

// Parse checks a request, which the caller must not change afterwards.
func Parse(req wire.ResolveRequest) (Request, *Refusal) { return parse(req, false) }

// parse is Parse; with undelivered, a container may leave its delivery open.
func parse(req wire.ResolveRequest, undelivered bool) (Request, *Refusal) {
	switch {
	case req.Protocol < wire.ProtocolConsumers, req.Protocol > wire.Protocol:
		return Request{}, invalid("protocol %d is unknown, this registry speaks %d to %d", req.Protocol, wire.ProtocolConsumers, wire.Protocol)
	case len(req.Containers) == 0:
		return Request{}, invalid("no container is asked for")
	case len(req.Containers) > wire.MaxContainers:
		return Request{}, invalid("more than %d containers", wire.MaxContainers)
	case len(req.Mark) > wire.MaxMarkBytes:
		return Request{}, invalid("the mark is none of this registry's")
	}
	if err := checkProviderTokens(req.ProviderTokens); err != nil {
		return Request{}, err
	}
	parsed := Request{req.Containers, make([]ref.Consumer, len(req.Containers)), nil, req.Mark, req.ProviderTokens, req.Starting && req.Mark == ""}
	envs := 0
	for i, c := range req.Containers {
		if !isContainerName(c.Name) {
			return Request{}, invalid("container %d has no proper name", i)
		}
		for _, before := range req.Containers[:i] {
			if before.Name == c.Name {
				return Request{}, invalid("container %s is asked for twice", c.Name)
			}
		}
		if len(c.Inline) > 0 && req.Protocol < wire.ProtocolInline {
			return Request{}, invalid("container %s: inline references need protocol %d", c.Name, wire.ProtocolInline)
		}
		if c.Consumer != "" || len(c.Envs) > 0 || len(c.Inline) == 0 {
			consumer, err := ref.ParseConsumer(c.Consumer)
			if err != nil {
				return Request{}, invalid("container %s: %v", c.Name, err)
			}
			parsed.consumers[i] = consumer
		}
		switch {
		case c.Delivery == "" && undelivered:
		case slices.Contains(wire.Deliveries, c.Delivery):
		default:
			return Request{}, invalid("container %s: the delivery must be %s, %s, %s or %s", c.Name, wire.DeliveryEnvfile, wire.DeliveryExec, wire.DeliveryDirect, wire.DeliveryFile)
		}
		if envs += len(c.Envs) + len(c.Inline); envs > wire.MaxEnvs {
			return Request{}, invalid("more than %d ENVs", wire.MaxEnvs)
		}
		if len(c.Inline) > 0 && parsed.inline == nil {
			parsed.inline = make([][]ref.Secret, len(req.Containers))
		}
		for _, env := range c.Inline {
			secret, err := ref.ParseSecret(env.Secret)
			if err != nil {
				return Request{}, invalid("container %s: %v", c.Name, err)
			}
			parsed.inline[i] = append(parsed.inline[i], secret)
		}
		names := c.Names()
		for j, name := range names {
			// Names that have become reserved are no error here: the consumer has the last word on what it has.
			if name == "" || len(name) > ref.MaxEnvName {
				return Request{}, invalid("container %s: ENV %d has no proper name", c.Name, j)
			}
			for _, before := range names[:j] {
				if before == name {
					return Request{}, invalid("container %s: ENV %s is asked for twice", c.Name, name)
				}
			}
		}
	}
	return parsed, nil
}

func checkProviderTokens(tokens []wire.ProviderToken) *Refusal {
	if len(tokens) > wire.MaxProviderTokens {
		return invalid("more than %d tokens for providers", wire.MaxProviderTokens)
	}
	for i, t := range tokens {
		if err := podspec.CheckProviderAudience(t.Audience); err != nil {
			return invalid("the audience of token %d for providers %v", i, err)
		}
		if n := len(t.Token.Reveal()); n == 0 || n > wire.MaxTokenBytes {
			return invalid("token %d for providers is missing or exceeds %d bytes", i, wire.MaxTokenBytes)
		}
		if slices.ContainsFunc(tokens[:i], func(before wire.ProviderToken) bool { return before.Audience == t.Audience }) {
			return invalid("two tokens for providers of one audience")
		}
	}
	return nil
}

func isContainerName(name string) bool {
	if name == "" || len(name) > maxContainerName {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if ('a' > c || c > 'z') && ('0' > c || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
