// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/e2e/cluster"
	"github.com/lanyard-dev/lanyard/e2e/installation"
)

// lanyard is the installation all suites share.
var lanyard *installation.Installation

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := cluster.Start(ctx, cluster.Config{Name: "e2e", UserNamespaces: true, Progress: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := c.Stop(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}()
	// The in-band proof is on in the suites: OldKubelet needs it, and everything else must work with it. Roles needs service accounts to call the API.
	values := []string{"agent.verify=true", "registry.extraArgs[0]=--api-audience=" + apiAudience}
	if lanyard, err = installation.Install(ctx, c, installation.Config{Values: values, People: people, Progress: os.Stderr}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// A test cannot be interrupted in the middle; the cluster goes, and the process with it.
	defer context.AfterFunc(ctx, func() {
		stopping, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = c.Stop(stopping)
		os.Exit(130)
	})()
	return m.Run()
}
