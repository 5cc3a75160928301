// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/lanyard-dev/lanyard/agent/internal/fetch"
)

// MaxTerminationMessage is what the kubelet reads of a container's termination message, in bytes.
const MaxTerminationMessage = 4096

// Report tells how [ConfigFromEnv], [Run] or [Sidecar] ended, in the log of c and, for a failure, in the termination message, and returns the exit code of the process.
func Report(c Config, err error) int {
	ctx, logger := context.Background(), c.logger()
	if err == nil {
		message := "values written"
		if c.Refresh.Interval > 0 {
			message = "sidecar ends with its pod"
		}
		logger.LogAttrs(ctx, slog.LevelInfo, message, slog.Int("containers", len(c.Request.Containers))) //nolint:sloglint // one of two constants
		return int(ExitOK)
	}
	var failure *Failure
	if !errors.As(err, &failure) {
		// Both functions return nothing else; to a supervisor, an exit code that is not 0 matters more than which.
		failure = &Failure{Exit: ExitConfiguration, Err: err}
	}
	for _, item := range failure.Items {
		logger.LogAttrs(ctx, slog.LevelError, "env has no value", slog.String("container", item.Container), slog.String("env", item.Env),
			slog.String("secret_name", item.Secret), slog.String("provider", item.Provider), slog.String("reason", string(item.Code)), slog.String("err", item.Message))
	}
	attrs := []slog.Attr{slog.Int("exit_code", int(failure.Exit)), slog.String("exit_name", failure.Exit.Info().Name), slog.String("err", failure.Error())}
	if failure.Exit == ExitRestart {
		logger.LogAttrs(ctx, slog.LevelInfo, "containers are to be restarted", attrs...)
	} else {
		logger.LogAttrs(ctx, slog.LevelError, "no values written", attrs...)
	}
	if err := writeTerminationLog(c.TerminationLog, terminationMessage(failure)); err != nil {
		logger.LogAttrs(ctx, slog.LevelWarn, "termination message not written", slog.String("err", err.Error()))
	}
	return int(failure.Exit)
}

// writeTerminationLog does not create the file: where the kubelet did not, nobody reads it.
func writeTerminationLog(path, message string) error {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return fmt.Errorf("opening termination message: %w", err)
	}
	if _, err := f.WriteString(message); err != nil {
		_ = f.Close()
		return fmt.Errorf("writing termination message: %w", err)
	}
	return f.Close()
}

// terminationMessage says what happened and what to do: one line for the whole, then one per ENV or variable, as many as fit.
func terminationMessage(f *Failure) string {
	head, tail, _ := strings.Cut(f.Error(), "\n")
	lines := make([]string, 1, 8)
	if tail != "" { // several variables are wrong
		lines = append(lines, strings.Split(tail, "\n")...)
	}
	for _, item := range f.Items {
		lines = append(lines, item.Sentence())
	}
	if f.Exit == ExitRestart { // no failure
		return fmt.Sprintf("lanyard: %s (exit code %d, %s)\n", head, f.Exit, f.Exit.Info().Name)
	}
	lines[0] = fmt.Sprintf("lanyard: no values written: %s. Fix: %s (exit code %d, %s%s)",
		strings.TrimSuffix(head, "."), fix(f), f.Exit, f.Exit.Info().Name, requestID(f))
	return truncate(lines)
}

// fix prefers what is known of the registry's code over what is known of the exit code.
func fix(f *Failure) string {
	if refusal := (*fetch.Refusal)(nil); errors.As(f, &refusal) && refusal.Problem != nil {
		if info := refusal.Problem.Code.Info(); info.Fix != "" {
			return info.Fix
		}
	}
	return f.Exit.Info().Fix
}

func requestID(f *Failure) string {
	if refusal := (*fetch.Refusal)(nil); errors.As(f, &refusal) && refusal.Problem != nil && refusal.Problem.RequestID != "" {
		return ", request id " + refusal.Problem.RequestID
	}
	return ""
}

// truncate joins as many whole lines as the kubelet reads and says how many are missing.
func truncate(lines []string) string {
	const room = MaxTerminationMessage - len("and 000 more, see the container's log\n")
	var b strings.Builder
	for i, line := range lines {
		limit := room
		if i == len(lines)-1 {
			limit = MaxTerminationMessage
		}
		if b.Len()+len(line)+1 > limit && i > 0 {
			fmt.Fprintf(&b, "and %d more, see the container's log\n", len(lines)-i)
			break
		}
		if len(line) >= room { // the first line alone; its parts are bounded far below
			line = strings.ToValidUTF8(line[:room-1], "")
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String()
}
