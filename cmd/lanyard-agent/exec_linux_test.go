// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a program inherits besides: limits, signal dispositions and mask, open files, the right to leave a core.
func TestExecChangesNothingElseOfTheProcess(t *testing.T) {
	const script = `cat /proc/$$/limits; grep -E '^(Sig|Shd|Cap|NoNewPrivs|Seccomp|Umask|Threads)' /proc/$$/status; ls /proc/$$/fd; ls -ld /proc/$$/environ; cat /proc/$$/comm`
	l := launch{program: "/bin/sh", argv: []string{"sh", "-c", script}, env: []string{"PATH=/usr/bin:/bin"}, values: map[string]string{"KEY": "value"}}
	var seen [2]string
	for i, cmd := range []*exec.Cmd{l.direct(t), l.wrapped(t)} {
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for line := range strings.Lines(string(out)) {
			if fields := strings.Fields(line); len(fields) > 8 && strings.HasSuffix(line, "/environ\n") {
				line = strings.Join(fields[:4], " ") + "\n" // mode and owner, without the time and the process id
			}
			seen[i] += line
		}
	}
	if diff := cmp.Diff(seen[0], seen[1]); diff != "" {
		t.Errorf("direct and wrapped differ (-direct +wrapped):\n%s", diff)
	}
}
