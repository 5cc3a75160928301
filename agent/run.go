// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/lanyard-dev/lanyard/agent/internal/fetch"
	"github.com/lanyard-dev/lanyard/agent/internal/projection"
	"github.com/lanyard-dev/lanyard/pkg/envfile"
	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// Run fetches the values of the pod and writes them, or writes nothing and returns a [*Failure]. It blocks until then, at most for the deadline of c, and
// returns as soon as ctx is canceled.
func Run(ctx context.Context, c Config) error {
	ctx, cancel := context.WithTimeout(ctx, c.Deadline)
	defer cancel()
	client := &fetch.Client{
		URL:       c.URL,
		Transport: fetch.NewTransport(c.CA, c.ServerName),
		TokenFile: c.TokenFile,
		Logger:    c.logger(),
	}
	answer, err := client.Resolve(ctx, &c.Request)
	if err != nil {
		return resolveFailure(err)
	}
	defer fetch.Wipe(answer)
	files, err := render(&c.Request, answer)
	if err != nil {
		return err
	}
	// The deadline is for the registry: once the values are there, only a signal stops the writing of them.
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			stop()
		}
	})()
	if err := projection.Write(writing, c.Dir, files); err != nil {
		return writeFailure(err)
	}
	return nil
}

func (c *Config) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}

// render makes the files of all containers, so that nothing has been written when a value turns out not to fit. The answer must be complete. The error is a
// [*Failure] that names every such value.
func render(req *wire.ResolveRequest, answer *wire.ResolveResponse) ([]projection.File, error) {
	values := make(map[string]map[string]wire.Env, len(answer.Containers)) // :: container → ENV
	for _, c := range answer.Containers {
		values[c.Name] = make(map[string]wire.Env, len(c.Envs))
		for _, env := range c.Envs {
			values[c.Name][env.Name] = env
		}
	}
	files := make([]projection.File, 0, len(req.Containers))
	var unfit []wire.ItemProblem
	for _, c := range req.Containers {
		data := make([]byte, 0, fileSize(c.Envs, values[c.Name]))
		for _, name := range c.Envs {
			env := values[c.Name][name]
			longer, err := envfile.Append(data, name, env.Value.Reveal())
			if err != nil {
				unfit = append(unfit, wire.ItemProblem{Container: c.Name, Env: name, Secret: env.Secret, Code: wire.CodeUnrepresentable, Message: err.Error()})
				continue
			}
			data = longer
		}
		files = append(files, projection.File{Name: podspec.EnvFile(c.Name), Data: data})
	}
	if len(unfit) == 0 {
		return files, nil
	}
	for _, f := range files {
		clear(f.Data)
	}
	return nil, &Failure{Exit: ExitUnrepresentable, Items: unfit, Err: fmt.Errorf("%w: %d of them", envfile.ErrUnrepresentable, len(unfit))}
}

// fileSize is the exact size of a file, so that no outgrown slice keeps values.
func fileSize(names []string, values map[string]wire.Env) int {
	n := 0
	for _, name := range names {
		n += len(name) + len("=''\n") + len(values[name].Value.Reveal())
	}
	return n
}
