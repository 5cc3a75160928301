// SPDX-License-Identifier: Apache-2.0

// Command lanyard-agent is the init agent, the sidecar that keeps files up to date, and what starts the command of a wrapped container. It is configured by ENV
// variables alone; see package agent for them and for the exit codes.
//
// There is no tuning of the Go runtime here: measured over 200 starts each, GOGC=off and runtime.GOMAXPROCS(1) in main change nothing, because the heap stays
// under the first collection. GOMAXPROCS=1 in the environment saves a twentieth of a start. Post-quantum key exchange costs a quarter of a millisecond and
// stays on: what is sent here is worth recording today and breaking later.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/lanyard-dev/lanyard/agent"
	"github.com/lanyard-dev/lanyard/pkg/podspec"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) == 1 && (args[0] == "version" || args[0] == "-version") {
		fmt.Println("lanyard-agent", version())
		return 0
	}
	if len(args) > 0 && args[0] == podspec.ModeExec { // before anything touches signals, limits or memory: the command inherits the process
		return agent.ReportExec(os.Stderr, agent.Exec(args[1:], os.Environ()))
	}
	if len(args) == 1 && args[0] == podspec.ModeStarted {
		if err := agent.Started(os.Getenv); err != nil {
			fmt.Fprintln(os.Stderr, "lanyard-agent:", err)
			return 1
		}
		return 0
	}
	if len(args) > 0 && args[0] == podspec.ModeDirect {
		return direct(args[1:])
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if config, verifying := agent.Verifying(os.Getenv); verifying {
		config.Logger = log
		if err := agent.Verify(os.Getenv); err != nil {
			return agent.Report(config, err)
		}
		return 0
	}
	config, err := agent.ConfigFromEnv(os.Getenv)
	config.Logger = log
	if err == nil {
		err = agent.CheckArguments(args)
	}
	if err == nil {
		if err := agent.Harden(); err != nil {
			config.Logger.Warn("process not hardened", "err", err)
		}
		run := agent.Run
		if config.Refresh.Interval > 0 {
			run = agent.Sidecar
		}
		err = run(ctx, config)
	}
	return agent.Report(config, err)
}

// direct fetches before it starts the command. What the command inherits stays as it is: of the process only what execve restores is changed. Standard error is
// the application's, so a start without trouble says nothing there.
func direct(args []string) int {
	config, err := agent.ConfigFromEnv(os.Getenv)
	config.Logger = slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if err == nil {
		if err := agent.Conceal(); err != nil {
			config.Logger.Warn("process not hardened", "err", err)
		}
		err = agent.Direct(config, args, os.Environ())
	}
	return agent.ReportDirect(os.Stderr, config, err)
}

// version is what the Go toolchain stamped into the binary.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown)"
	}
	return info.Main.Version
}
