// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// parseRequest parses and checks what the injector wrote. Names become parts of paths and of files, so that nothing behind it has to doubt them.
func parseRequest(text string) (wire.ResolveRequest, error) {
	var req wire.ResolveRequest
	if text == "" {
		return req, errors.New("is empty: the injector writes it, so the pod may not have passed the webhook")
	}
	if len(text) > wire.MaxNamesBytes {
		return req, fmt.Errorf("is longer than the %d bytes the registry reads: give the pod fewer ENVs", wire.MaxNamesBytes)
	}
	if err := json.Unmarshal([]byte(text), &req); err != nil {
		return req, fmt.Errorf("is not the JSON of a resolve request: %w", err)
	}
	if req.Protocol < wire.ProtocolConsumers || req.Protocol > wire.Protocol {
		return req, fmt.Errorf("has protocol %d and this agent speaks %d to %d: use an init agent of the injector's version", req.Protocol, wire.ProtocolConsumers, wire.Protocol)
	}
	if n := len(req.Containers); n == 0 || n > wire.MaxContainers {
		return req, fmt.Errorf("names %d containers: it must name 1 to %d", n, wire.MaxContainers)
	}
	if err := checkProviderTokens(req.ProviderTokens); err != nil {
		return req, err
	}
	total, seen := 0, make(map[string]bool)
	for _, c := range req.Containers {
		if len(c.Inline) > 0 && req.Protocol < wire.ProtocolInline {
			return req, fmt.Errorf("has protocol %d and inline references in container %q, which need %d", req.Protocol, c.Name, wire.ProtocolInline)
		}
		if c.Delivery == wire.DeliveryDirect && len(req.Containers) > 1 {
			return req, fmt.Errorf("names container %q among others: with the delivery %s a container asks for itself alone", c.Name, c.Delivery)
		}
		if err := checkContainer(c); err != nil {
			return req, err
		}
		if seen[c.Name] {
			return req, fmt.Errorf("names container %q twice", c.Name)
		}
		seen[c.Name] = true
		total += len(c.Envs) + len(c.Inline)
	}
	if total > wire.MaxEnvs {
		return req, fmt.Errorf("names %d ENVs: one pod may receive %d", total, wire.MaxEnvs)
	}
	return req, nil
}

// checkProviderTokens checks the audiences of the tokens to send along; the tokens themselves are in files.
func checkProviderTokens(tokens []wire.ProviderToken) error {
	if len(tokens) > wire.MaxProviderTokens {
		return fmt.Errorf("names %d tokens for providers: a pod may send %d along", len(tokens), wire.MaxProviderTokens)
	}
	for i, t := range tokens {
		if err := podspec.CheckProviderAudience(t.Audience); err != nil {
			return fmt.Errorf("names a token for a provider whose audience %.100q %w", t.Audience, err)
		}
		if slices.ContainsFunc(tokens[:i], func(before wire.ProviderToken) bool { return before.Audience == t.Audience }) {
			return fmt.Errorf("names audience %q twice", t.Audience)
		}
	}
	return nil
}

func checkContainer(c wire.ContainerRequest) error {
	// A container's name is a DNS label, which is also the grammar of a slug.
	if err := ref.CheckSlug(c.Name); err != nil {
		return fmt.Errorf("names a container that cannot exist, %.80q: its name must be a DNS label", c.Name)
	}
	if c.Consumer != "" || len(c.Envs) > 0 || len(c.Inline) == 0 {
		if _, err := ref.ParseConsumer(c.Consumer); err != nil {
			return fmt.Errorf("is wrong for container %q: %w", c.Name, err)
		}
	}
	for _, env := range c.Inline {
		if _, err := ref.ParseSecret(env.Secret); err != nil {
			return fmt.Errorf("is wrong for container %q: %w", c.Name, err)
		}
	}
	switch c.Delivery {
	case wire.DeliveryEnvfile, wire.DeliveryExec, wire.DeliveryDirect, wire.DeliveryFile:
	default:
		return fmt.Errorf("wants delivery %.80q for container %q, which this agent does not know: use an init agent of the injector's version", c.Delivery, c.Name)
	}
	names := c.Names()
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if err := ref.CheckEnvName(name); err != nil {
			return fmt.Errorf("is wrong for container %q: %w", c.Name, err)
		}
		if seen[name] {
			return fmt.Errorf("names ENV %s of container %q twice", name, c.Name)
		}
		seen[name] = true
	}
	return nil
}
