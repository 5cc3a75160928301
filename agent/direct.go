// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/lanyard-dev/lanyard/agent/internal/fetch"
	"github.com/lanyard-dev/lanyard/pkg/execfile"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// Direct is [Exec] for a container that no init agent has written values for: it fetches them itself, tries as [Run] does and until the same deadline, and
// then turns the process into the container's command. args are what follows [podspec.ModeDirect] on the command line. The request of c must be of that one
// container. It returns only if it did not come to that, and then a [*Failure].
//
// Until the command takes over, SIGTERM, SIGINT and SIGQUIT end it: as process 1 of a container, nothing else would. Those ignored from the start stay ignored.
func Direct(c Config, args, environ []string) error {
	argv, err := command(args)
	if err != nil {
		return err
	}
	if !c.direct() {
		return &Failure{Exit: ExitConfiguration, Err: errors.New("the request is not that of one container with the delivery direct: the injector writes it")}
	}
	values, err := c.ownValues()
	if err != nil {
		return err
	}
	return start(argv, environ, values)
}

// direct reports whether the request is one a container makes for itself.
func (c *Config) direct() bool {
	return len(c.Request.Containers) == 1 && c.Request.Containers[0].Delivery == wire.DeliveryDirect
}

// ownValues returns the NAME=value strings of the container. When it returns, signals do what they did before.
func (c *Config) ownValues() ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.Deadline)
	defer cancel()
	release := interruptible(cancel)
	values, err := c.fetchOwn(ctx)
	if release() && err == nil {
		err = &Failure{Exit: ExitSignal, Err: errors.New("a signal came before the command was started")}
	}
	if err != nil {
		return nil, err
	}
	return values, nil
}

func (c *Config) fetchOwn(ctx context.Context) ([]string, error) {
	client := &fetch.Client{
		URL:       c.URL,
		Transport: fetch.NewTransport(c.CA, c.ServerName),
		TokenFile: c.TokenFile,
		Logger:    c.logger(),
	}
	request := c.ownRequest(os.Getpid())
	answer, err := client.Resolve(ctx, &request)
	if err != nil {
		return nil, resolveFailure(err)
	}
	defer fetch.Wipe(answer)
	sets, err := render(c, answer) // in the form an init agent would have written, so that one set of rules holds
	if err != nil {
		return nil, err
	}
	file := sets[0].Files[0].Data
	defer clear(file)
	values, err := execfile.Parse(file)
	if err != nil {
		return nil, &Failure{Exit: ExitValues, Err: fmt.Errorf("reading values: %w", err)}
	}
	return values, nil
}

// ownRequest is the request of process pid for its own container. Only as process 1 it is certain that nothing in the container has values already: somebody may start the agent by hand beside the command,
// and with a process namespace that several share, number 1 is another.
func (c *Config) ownRequest(pid int) wire.ResolveRequest {
	request := c.Request
	request.Starting = pid == 1
	return request
}

// interruptible calls cancel when a signal comes that asks the process to end. The function it returns lets signals do again what they did before, and reports
// whether one came: none is lost in between.
func interruptible(cancel context.CancelFunc) (release func() bool) {
	came, gone, ended := make(chan os.Signal, 1), make(chan struct{}), make(chan bool)
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT} {
		if !signal.Ignored(s) {
			signal.Notify(came, s)
		}
	}
	go func() {
		select {
		case <-came:
			cancel()
			ended <- true
		case <-gone:
			ended <- false
		}
	}()
	return func() bool {
		signal.Stop(came) // after which nothing is sent to it
		close(gone)
		return <-ended || len(came) > 0
	}
}

// ReportDirect tells why [Direct] returned: as [Report] does if there are no values, else as [ReportExec]. It returns the exit code.
func ReportDirect(stderr io.Writer, c Config, err error) int {
	var failure *Failure
	if errors.As(err, &failure) && (failure.Exit == ExitUnrunnable || failure.Exit == ExitNotFound) {
		return reportCommand(stderr, c.TerminationLog, failure)
	}
	return Report(c, err)
}
