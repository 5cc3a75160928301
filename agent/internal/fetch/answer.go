// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"fmt"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// checkComplete reports whether answer holds every container and every ENV asked for exactly once and nothing else, in any order, or says unchanged where
// that was a possible answer. The error wraps
// [ErrProtocol]; of the answer it quotes only names that were asked for.
func checkComplete(asked *wire.ResolveRequest, answer *wire.ResolveResponse) error {
	switch {
	case len(answer.Mark) > wire.MaxMarkBytes:
		return fmt.Errorf("%w: its mark is longer than %d bytes", ErrProtocol, wire.MaxMarkBytes)
	case answer.Unchanged && (asked.Mark == "" || asked.Mark == wire.UnknownMark):
		return fmt.Errorf("%w: it says that nothing changed, to a request for values", ErrProtocol)
	case answer.Unchanged && len(answer.Containers) > 0:
		return fmt.Errorf("%w: it says that nothing changed, and holds values", ErrProtocol)
	case answer.Unchanged:
		return nil
	}
	got := make(map[string]*wire.ContainerValues, len(answer.Containers))
	for i := range answer.Containers {
		got[answer.Containers[i].Name] = &answer.Containers[i]
	}
	for _, want := range asked.Containers {
		values, ok := got[want.Name]
		if !ok {
			return fmt.Errorf("%w: container %q is missing", ErrProtocol, want.Name)
		}
		if err := checkEnvs(want, values.Envs); err != nil {
			return err
		}
	}
	// All that was asked for is there. More entries than that are strangers or a second answer for the same container.
	if len(answer.Containers) != len(asked.Containers) {
		return fmt.Errorf("%w: it holds a container twice, or one that was not asked for", ErrProtocol)
	}
	return nil
}

func checkEnvs(want wire.ContainerRequest, envs []wire.Env) error {
	got := make(map[string]bool, len(envs))
	for _, env := range envs {
		got[env.Name] = true
	}
	names := want.Names()
	for _, name := range names {
		if !got[name] {
			return fmt.Errorf("%w: container %q: ENV %s is missing", ErrProtocol, want.Name, name)
		}
	}
	if len(envs) != len(names) {
		return fmt.Errorf("%w: container %q: it holds an ENV twice, or one that was not asked for", ErrProtocol, want.Name)
	}
	return nil
}

// Wipe overwrites every value of answer.
func Wipe(answer *wire.ResolveResponse) {
	for _, c := range answer.Containers {
		for _, env := range c.Envs {
			env.Value.Wipe()
		}
	}
}
