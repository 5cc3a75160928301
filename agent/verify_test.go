// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"testing"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
)

func TestVerify(t *testing.T) {
	for name, tc := range map[string]struct {
		env  map[string]string
		want Exit
	}{
		"a kubelet that reads env files":                 {map[string]string{podspec.EnvProof: "1"}, ExitOK},
		"a kubelet that leaves the ENV empty":            {map[string]string{podspec.EnvProof: ""}, ExitNode},
		"a kubelet that leaves the ENV out":              {nil, ExitNode},
		"something else than what the agent has written": {map[string]string{podspec.EnvProof: "2"}, ExitNode},
	} {
		t.Run(name, func(t *testing.T) {
			err := Verify(func(name string) string { return tc.env[name] })
			var failure *Failure
			if tc.want == ExitOK && err != nil || tc.want != ExitOK && (!errors.As(err, &failure) || failure.Exit != tc.want) {
				t.Errorf("Verify() = %v, want exit %d", err, tc.want)
			}
		})
	}
}
