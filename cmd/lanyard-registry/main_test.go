// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestExitCodes(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no command":                     {nil, 2, "usage: lanyard-registry serve|dev|init|version"},
		"a command that does not exist":  {[]string{"start"}, 2, "usage:"},
		"help":                           {[]string{"serve", "-help"}, 0, "-data-dir"},
		"a flag that does not exist":     {[]string{"serve", "-data", "x"}, 2, "flag provided but not defined: -data"},
		"an argument too many":           {[]string{"serve", "now"}, 2, `unexpected argument "now"`},
		"no place for the data":          {[]string{"serve"}, 2, "give exactly one of -data-dir and -etcd-endpoints"},
		"two places for the data":        {[]string{"serve", "-data-dir", "d", "-etcd-endpoints", "https://e:2379"}, 2, "give exactly one of"},
		"etcd without an authority":      {[]string{"serve", "-etcd-endpoints", "https://e:2379"}, 2, "needs -etcd-ca-file"},
		"a malformed injector":           {[]string{"serve", "-data-dir", "d", "-injector-service-account", "x"}, 2, "is not <namespace>/<name>"},
		"dev on a public address":        {[]string{"dev", "-api-address", "0.0.0.0:80"}, 2, "is not on loopback"},
		"init without a namespace":       {[]string{"init"}, 2, "-namespace is required"},
		"init with half of an authority": {[]string{"init", "-namespace", "n", "-tls-secret", "s"}, 2, "go together"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), tc.args, &stdout, &stderr); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			if !strings.Contains(stderr.String(), tc.says) {
				t.Errorf("said %q, want %q", stderr.String(), tc.says)
			}
		})
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"version"}, &stdout, &stderr); code != 0 || strings.TrimSpace(stdout.String()) == "" {
		t.Errorf("version: exit code %d, said %q", code, stdout.String())
	}
}

// TestTheChartSpeaksOurFlags compares the chart's command lines with what the commands take.
func TestTheChartSpeaksOurFlags(t *testing.T) {
	flag := regexp.MustCompile(`(?m)^\s*- (?:\{\{ printf ")?--([a-z0-9-]+)`)
	for command, template := range map[string]string{"serve": "registry/_pod.tpl", "init": "init/job.yaml"} {
		var stdout, stderr bytes.Buffer
		run(t.Context(), []string{command, "-help"}, &stdout, &stderr)
		text, err := os.ReadFile("../../charts/lanyard/templates/" + template)
		if err != nil {
			t.Fatal(err)
		}
		used := flag.FindAllSubmatch(text, -1)
		if len(used) < 4 {
			t.Errorf("%s: found %d flags only", template, len(used))
		}
		for _, match := range used {
			if !strings.Contains(stderr.String(), "\n  -"+string(match[1])) {
				t.Errorf("%s passes --%s, which %s does not take", template, match[1], command)
			}
		}
	}
}
