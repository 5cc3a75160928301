// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var (
	block  = regexp.MustCompile("(?s)```sh\n(.*?)```")
	target = regexp.MustCompile(`\$LANYARD(/[^\s"]+)`)
	verb   = regexp.MustCompile(`-X ([A-Z]+)`)
	data   = regexp.MustCompile(`(?s)--json '([^']*)'`)
	header = regexp.MustCompile(`-H '([^:]+): ([^']*)'`)
)

// The guide's commands, run in its order, all succeed.
func TestTheGuideWorks(t *testing.T) {
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	ran := 0
	for _, b := range block.FindAllStringSubmatch(string(text), -1) {
		for _, command := range strings.Split("\n"+b[1], "\ncurl ")[1:] {
			path := target.FindStringSubmatch(command)
			if path == nil {
				t.Fatalf("no address in %q", command)
			}
			method, body := "GET", ""
			if m := data.FindStringSubmatch(command); m != nil {
				method, body = "POST", m[1]
			}
			if m := verb.FindStringSubmatch(command); m != nil {
				method = m[1]
			}
			var headers []string
			for _, m := range header.FindAllStringSubmatch(command, -1) {
				headers = append(headers, m[1], m[2])
			}
			if a := w.do(method, path[1], body, headers...); a.status/100 != 2 {
				t.Errorf("curl %s: %d %s", command, a.status, a.body)
			}
			ran++
		}
	}
	if want := strings.Count(string(text), "\ncurl "); ran != want || ran == 0 {
		t.Errorf("%d of %d commands were run", ran, want)
	}
}
