// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// actOnLinux is the part of act that needs Linux.
func actOnLinux(what string) int {
	switch what {
	case "init":
		return becomeInit()
	case "adopt":
		return adopt()
	}
	return converse()
}

// family is what the application knows of the processes around it.
type family struct {
	Parent int
	Codes  []int // of the children that ended, its own and then those it inherited
}

// adopt is an application that starts a shell, which ends and leaves a process behind.
func adopt() int {
	r, w, err := os.Pipe()
	if err != nil {
		return 1
	}
	shell := exec.Command("/bin/sh", "-c", "(read line <&3; exit 5) & exit 3")
	shell.ExtraFiles = []*os.File{r}
	if err := shell.Start(); err != nil {
		return 1
	}
	_ = r.Close()
	_ = shell.Wait()
	_ = w.Close() // what was left behind ends now
	f := family{os.Getppid(), []int{shell.ProcessState.ExitCode()}}
	for {
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(-1, &status, 0, nil); err != nil {
			break // no children are left
		}
		f.Codes = append(f.Codes, status.ExitStatus())
	}
	if json.NewEncoder(os.Stdout).Encode(f) != nil {
		return 1
	}
	return 0
}

// becomeInit makes the process inherit what its descendants leave behind, as the first of a container does, and runs the command that is its arguments.
func becomeInit() int {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, actVariable+"=") })
	fmt.Fprintln(os.Stderr, syscall.Exec(os.Args[1], os.Args[1:], append(env, actVariable+"=adopt")))
	return 1
}

// Nothing of the agent stays: the command is the child of whoever started the agent, and the processes its own children leave behind are its own to wait for.
func TestExecLeavesNoParentBehind(t *testing.T) {
	_, program := tool(t)
	eachWrap(t, "orphans", func(t *testing.T, wrap wrap) {
		l := launch{program: program, argv: []string{program}, env: []string{"PATH=/usr/bin:/bin"}, values: map[string]string{"KEY": "value"}}
		want := family{os.Getpid(), []int{3, 5}}
		for name, cmd := range map[string]*exec.Cmd{"plain": l.plain(t), "wrapped": wrap(l, t)} {
			cmd.Args = append([]string{program, cmd.Path}, cmd.Args[1:]...)
			cmd.Path, cmd.Env = program, append(cmd.Env, actVariable+"=init")
			out, err := cmd.Output()
			var got family
			if err != nil || json.Unmarshal(out, &got) != nil {
				t.Fatalf("%s: %v: %s", name, err, out)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: family (-want +got):\n%s", name, diff)
			}
		}
	})
}
