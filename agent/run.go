// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"log/slog"

	"github.com/lanyard-dev/lanyard/agent/internal/fetch"
	"github.com/lanyard-dev/lanyard/agent/internal/projection"
	"github.com/lanyard-dev/lanyard/pkg/podspec"
)

// Run fetches the values of the pod and writes them, or writes nothing and returns a [*Failure]. It blocks until then, at most for the deadline of c, and
// returns as soon as ctx is canceled.
func Run(ctx context.Context, c Config) error {
	if c.direct() {
		return &Failure{Exit: ExitConfiguration, Err: errors.New("the request is of a container that fetches its values itself")}
	}
	ctx, cancel := context.WithTimeout(ctx, c.Deadline)
	defer cancel()
	client := &fetch.Client{
		URL:       c.URL,
		Transport: fetch.NewTransport(c.CA, c.ServerName),
		TokenFile: c.TokenFile,
		Logger:    c.logger(),
	}
	request := c.Request
	request.Starting = true // an init container runs before the others, or in their stead
	answer, err := client.Resolve(ctx, &request)
	if err != nil {
		return resolveFailure(err)
	}
	defer fetch.Wipe(answer)
	sets, err := render(&c, answer)
	if err != nil {
		return err
	}
	writing, stop := untilSignal(ctx)
	defer stop()
	if c.BinDir != podspec.BinNowhere && c.wraps() {
		if err := installBinary(c.BinDir); err != nil {
			projection.Wipe(sets)
			return writeFailure(err)
		}
	}
	if err := projection.Write(writing, sets); err != nil {
		return writeFailure(err)
	}
	return nil
}

// untilSignal returns a context without the deadline of ctx: that is for the registry, and once the values are there only a signal stops the writing of them.
func untilSignal(ctx context.Context) (writing context.Context, stop func()) {
	writing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	detach := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			cancel()
		}
	})
	return writing, func() { detach(); cancel() }
}

func (c *Config) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}
