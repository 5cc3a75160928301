// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a program inherits besides: limits, signal dispositions and mask, umask, capabilities, open files, its own /proc.
func TestExecChangesNothingElseOfTheProcess(t *testing.T) {
	const setting = `trap "" HUP INT; ulimit -S -n 500; ulimit -c 4; umask 027; exec "$0" "$@"`
	kept := []string{"Name", "Umask", "Threads", "SigBlk", "SigIgn", "SigCgt", "Cap", "NoNewPrivs", "Seccomp", "Max"}
	for name, argv := range map[string][]string{
		"limits and status": {"cat", "/proc/self/limits", "/proc/self/status"},
		"open files":        {"ls", "/proc/self/fd"},
		"owner of /proc":    {"stat", "-c", "%U %A", "/proc/self/environ"},
	} {
		eachWrap(t, name, func(t *testing.T, wrap wrap) {
			program, err := exec.LookPath(argv[0])
			if err != nil {
				t.Fatal(err)
			}
			l := launch{program: program, argv: argv, env: []string{"PATH=/usr/bin:/bin"}, values: map[string]string{"KEY": "value"}}
			var seen [2]string
			for i, cmd := range []*exec.Cmd{l.plain(t), wrap(l, t)} {
				cmd.Args = append([]string{"sh", "-c", setting, cmd.Path}, cmd.Args[1:]...)
				cmd.Path = "/bin/sh"
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				for line := range strings.Lines(string(out)) {
					if argv[0] != "cat" || slices.ContainsFunc(kept, func(prefix string) bool { return strings.HasPrefix(line, prefix) }) {
						seen[i] += line
					}
				}
			}
			if diff := cmp.Diff(seen[0], seen[1]); diff != "" || seen[0] == "" {
				t.Errorf("plain and wrapped differ (-plain +wrapped):\n%s", diff)
			}
		})
	}
}
