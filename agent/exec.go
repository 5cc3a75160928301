// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/lanyard-dev/lanyard/pkg/execfile"
	"github.com/lanyard-dev/lanyard/pkg/podspec"
)

// Exec turns the process into the container's own command, with the container's values in its environment. args are what follows [podspec.ModeExec] on the
// command line: "--" and the command. Of environ, which becomes the command's environment, what configures the agent is left out, and an ENV that the
// image sets too gives way to the value. It returns only if it did not come to that, and then a [*Failure].
//
// Nothing else of the process changes: its id, its standard streams, its directory, its limits, its signal mask. No handler may have been installed. Of
// signals ignored from the start, HUP and INT stay ignored; the Go runtime forgets others, as it does in runc, so that a container has none.
func Exec(args, environ []string) error {
	argv, err := command(args)
	if err != nil {
		return err
	}
	dir := cmp.Or(lookEnv(environ, podspec.EnvValuesDir), podspec.MountValues)
	file, err := os.ReadFile(filepath.Join(dir, podspec.ExecFile))
	if err != nil {
		return &Failure{Exit: ExitValues, Err: fmt.Errorf("reading values: %w", err)}
	}
	values, err := execfile.Parse(file)
	if err != nil {
		return &Failure{Exit: ExitValues, Err: fmt.Errorf("reading values: %w", err)}
	}
	return start(argv, environ, values)
}

// command returns what follows the dash.
func command(args []string) ([]string, error) {
	if len(args) < 2 || args[0] != "--" {
		return nil, &Failure{Exit: ExitConfiguration, Err: errors.New("no command: the injector writes it after \"--\"")}
	}
	return args[1:], nil
}

// lookEnv returns the variable's value, the last one if there are several.
func lookEnv(environ []string, name string) (value string) {
	for _, env := range environ {
		if n, v, _ := strings.Cut(env, "="); n == name {
			value = v
		}
	}
	return value
}

// start replaces the process by the command. It returns only if that failed, and then a [*Failure].
func start(argv, environ, values []string) error {
	program, err := lookPath(argv[0], lookEnv(environ, "PATH"))
	if err != nil {
		return commandFailure(argv[0], err)
	}
	env := merge(environ, values)
	if err := checkSize(program, argv, env); err != nil {
		return &Failure{Exit: ExitUnrunnable, Err: err}
	}
	return commandFailure(argv[0], syscall.Exec(program, argv, env)) //nolint:gosec // running the container's command is the point
}

// merge returns environ without the agent's own variables and with values, which win.
func merge(environ, values []string) []string {
	given := make(map[string]bool, len(values))
	for _, env := range values {
		name, _, _ := strings.Cut(env, "=")
		given[name] = true
	}
	merged := make([]string, 0, len(environ)+len(values))
	for _, env := range environ {
		if name, _, _ := strings.Cut(env, "="); !given[name] && !strings.HasPrefix(name, "LANYARD_") {
			merged = append(merged, env)
		}
	}
	return append(merged, values...)
}

// lookPath finds the program a container runtime would run: a name with a slash is a path from the container's directory, any other is searched for in the
// container's PATH, whose relative elements do not count. PATH is never among the values: the name is reserved.
func lookPath(name, path string) (string, error) {
	if strings.Contains(name, "/") {
		info, err := os.Stat(name)
		switch {
		case err != nil:
			return "", err
		case info.IsDir():
			return "", syscall.EISDIR
		}
		return name, executable(name)
	}
	result := error(syscall.ENOENT)
	for _, dir := range filepath.SplitList(path) {
		program := filepath.Join(dir, name)
		if info, err := os.Stat(program); err != nil || info.IsDir() || !filepath.IsAbs(dir) {
			continue
		}
		err := executable(program)
		if err == nil {
			return program, nil
		}
		result = err // a file that may not be run says more than one that is not there
	}
	return "", result
}

func executable(path string) error {
	const execute = 1 // X_OK
	return syscall.Access(path, execute)
}

// checkSize demands that the kernel accepts the strings, which it would refuse without saying which it was.
func checkSize(program string, argv, env []string) error {
	const (
		pointer   = 8
		least     = 128 << 10 // whatever the stack's limit is
		most      = 6 << 20
		ofTheRoom = 4 // a quarter of the stack
	)
	total := len(program) + 1
	for i, arg := range argv {
		if len(arg) >= execfile.MaxEnv {
			return fmt.Errorf("argument %d of the command is longer than the kernel takes", i)
		}
		total += len(arg) + 1 + pointer
	}
	for _, e := range env {
		if len(e) >= execfile.MaxEnv {
			name, _, _ := strings.Cut(e, "=")
			return fmt.Errorf("ENV %.100s is longer than the kernel takes", name)
		}
		total += len(e) + 1 + pointer
	}
	var stack syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_STACK, &stack); err != nil {
		return nil //nolint:nilerr // then the kernel has the last word
	}
	if uint64(total) > max(least, min(most, stack.Cur/ofTheRoom)) {
		return errors.New("the command's arguments and ENVs together are longer than the kernel takes, which is a quarter of the stack's limit: give the container fewer ENVs, or use the file delivery")
	}
	return nil
}

// commandFailure finds the exit code a shell would have given.
func commandFailure(name string, err error) *Failure {
	f := &Failure{Exit: ExitUnrunnable}
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		f.Exit = ExitNotFound
		f.Err = fmt.Errorf("command %.200q not found: it, or the interpreter or loader it names, is not in the image or not in PATH", name)
	case errors.Is(err, syscall.ENOEXEC):
		f.Err = fmt.Errorf("command %.200q is neither a program for this machine nor a script with a first line that names its interpreter", name)
	case errors.Is(err, syscall.EISDIR):
		f.Err = fmt.Errorf("command %.200q is a directory", name)
	default:
		var errno syscall.Errno
		if errors.As(err, &errno) { // without the path, which may be long
			err = errno
		}
		f.Err = fmt.Errorf("command %.200q cannot be run: %w", name, err)
	}
	return f
}

// ReportExec tells on stderr, and in the container's termination message if it has the usual place, why [Exec] returned, and returns the exit code.
func ReportExec(stderr io.Writer, err error) int {
	var failure *Failure
	if !errors.As(err, &failure) {
		failure = &Failure{Exit: ExitUnrunnable, Err: err}
	}
	return reportCommand(stderr, defaultTerminationLog, failure)
}

func reportCommand(stderr io.Writer, terminationLog string, failure *Failure) int {
	text := fmt.Sprintf("lanyard-agent: %v. Fix: %s (exit code %d, %s)\n", failure, failure.Exit.Info().Fix, failure.Exit, failure.Exit.Info().Name)
	_, _ = io.WriteString(stderr, text)
	_ = writeTerminationLog(terminationLog, text) // it is on stderr already
	return int(failure.Exit)
}
