// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/lanyard-dev/lanyard/agent/internal/bundle"
	"github.com/lanyard-dev/lanyard/agent/internal/projection"
	"github.com/lanyard-dev/lanyard/pkg/envfile"
	"github.com/lanyard-dev/lanyard/pkg/execfile"
	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// render makes the files of all containers, so that nothing has been written when a value turns out not to fit. The answer must be complete. The error is a
// [*Failure] that names every such value.
func render(c *Config, answer *wire.ResolveResponse) ([]projection.Set, error) {
	values := make(map[string]map[string]wire.Env, len(answer.Containers)) // :: container → ENV
	for _, c := range answer.Containers {
		values[c.Name] = make(map[string]wire.Env, len(c.Envs))
		for _, env := range c.Envs {
			values[c.Name][env.Name] = env
		}
	}
	r := renderer{envfiles: projection.Set{Dir: c.Dir}}
	for _, container := range c.Request.Containers {
		names := container.Names()
		envs := make([]wire.Env, len(names))
		for i, name := range names {
			envs[i] = values[container.Name][name]
		}
		own := projection.Set{Dir: filepath.Join(c.ValuesDir, container.Name)}
		switch container.Delivery {
		case wire.DeliveryExec, wire.DeliveryDirect:
			own.Files = r.execFile(container.Name, envs)
		case wire.DeliveryFile:
			own.Files = r.valueFiles(c, container.Name, envs)
		default:
			r.envfiles.Files = append(r.envfiles.Files, r.envFile(container.Name, envs))
			continue
		}
		r.sets = append(r.sets, own)
	}
	if len(r.envfiles.Files) > 0 {
		r.envfiles.Files = append(r.envfiles.Files, projection.File{Name: podspec.ProofFile, Mode: projection.ModeAgent, Data: []byte(podspec.EnvProof + "='" + proof + "'\n")})
		r.sets = append(r.sets, r.envfiles)
	}
	if err := r.failure(); err != nil {
		projection.Wipe(r.sets)
		return nil, err
	}
	return r.sets, nil
}

// renderer gathers the files of a pod and what does not fit.
type renderer struct {
	sets     []projection.Set
	envfiles projection.Set
	unfit    []wire.ItemProblem
	crowded  []error // containers whose ENVs are too long together
}

func (r *renderer) failure() error {
	switch {
	case len(r.unfit) > 0:
		return &Failure{Exit: ExitUnrepresentable, Items: r.unfit, Err: fmt.Errorf("values that cannot be handed over unchanged: %d", len(r.unfit))}
	case len(r.crowded) > 0:
		return &Failure{Exit: ExitUnrepresentable, Err: errors.Join(r.crowded...)}
	}
	return nil
}

func (r *renderer) refuse(container string, env wire.Env, err error) {
	r.unfit = append(r.unfit, wire.ItemProblem{Container: container, Env: env.Name, Secret: env.Secret, Code: wire.CodeUnrepresentable, Message: err.Error()})
}

// envFile is what the kubelet reads.
func (r *renderer) envFile(container string, envs []wire.Env) projection.File {
	data := make([]byte, 0, size(envs, len("=''\n")))
	for _, env := range envs {
		longer, err := envfile.Append(data, env.Name, env.Value.Reveal())
		if err != nil {
			r.refuse(container, env, err)
			continue
		}
		data = longer
	}
	return projection.File{Name: podspec.EnvFile(container), Mode: projection.ModeAgent, Data: data}
}

// execFile is what [Exec] reads.
func (r *renderer) execFile(container string, envs []wire.Env) []projection.File {
	const pointer = 8 // to each ENV, which the kernel counts too
	if size(envs, len("=\x00")+pointer) > execfile.MaxEnviron {
		r.crowded = append(r.crowded, fmt.Errorf("container %s: its ENVs together are longer than a process may receive; give it fewer, or use the file delivery", container))
	}
	data := execfile.New(size(envs, len("=\x00")))
	for _, env := range envs {
		longer, err := execfile.Append(data, env.Name, env.Value.Reveal())
		if err != nil {
			r.refuse(container, env, err)
			continue
		}
		data = longer
	}
	return []projection.File{{Name: podspec.ExecFile, Mode: projection.ModeContainer, Data: data}}
}

// valueFiles are the values themselves, which stay those of the answer, that is wiped in the end either way, and what bundles them.
func (r *renderer) valueFiles(c *Config, container string, envs []wire.Env) []projection.File {
	files := make([]projection.File, 0, len(envs)+len(c.Bundles))
	entries := make([]bundle.Entry, len(envs))
	for i, env := range envs {
		entries[i] = bundle.Entry{Name: env.Name, Value: env.Value.Reveal()}
		files = append(files, projection.File{Name: env.Name, Mode: c.FilesMode.Of(env.Name), Data: env.Value.Reveal()})
	}
	for _, format := range c.Bundles {
		data, problems := bundle.Encode(format, entries)
		for _, problem := range problems {
			r.refuse(container, envs[problem.Index], problem.Err)
		}
		name := podspec.BundleFile(format)
		files = append(files, projection.File{Name: name, Mode: c.FilesMode.Of(name), Data: data})
	}
	return files
}

// size is the exact size of a file with so many bytes around each name and value, so that no outgrown slice keeps values.
func size(envs []wire.Env, around int) int {
	n := 0
	for _, env := range envs {
		n += len(env.Name) + len(env.Value.Reveal()) + around
	}
	return n
}
