// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
)

// proof is what the proof file holds: anything that is not empty.
const proof = "1"

// Verifying reports whether the process is to check the node's kubelet instead of fetching values, and with which configuration it reports.
func Verifying(getenv func(string) string) (Config, bool) {
	c := Config{TerminationLog: getenv(podspec.EnvTerminationLog)}
	if c.TerminationLog == "" {
		c.TerminationLog = defaultTerminationLog
	}
	return c, getenv(podspec.EnvMode) == podspec.ModeVerify
}

// Verify returns a [*Failure] unless the kubelet has set the ENV that it reads from the proof file. A kubelet that does not know env files, or has them turned
// off, starts containers with empty ENVs and says nothing; so this container, started the same way before any other, is what says it.
func Verify(getenv func(string) string) error {
	if getenv(podspec.EnvProof) != proof {
		return &Failure{Exit: ExitNode, Err: errors.New("this node's kubelet does not set ENVs from env files (fileKeyRef): it is older than 1.35, or its feature gate EnvFiles is off")}
	}
	return nil
}
