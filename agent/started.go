// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
)

// startedMessage is the termination message of a sidecar that has written every value. The kubelet gives each container a new file for its message, so it can
// tell nothing of the sidecar that ran there before.
const startedMessage = "lanyard: values written, the sidecar keeps them up to date\n"

// Started returns nil if the sidecar whose container this process runs in has written every value: its startup probe.
func Started(getenv func(string) string) error {
	text, err := os.ReadFile(cmp.Or(getenv(podspec.EnvTerminationLog), defaultTerminationLog))
	if err != nil {
		return fmt.Errorf("reading termination message: %w", err)
	}
	if string(text) != startedMessage {
		return errors.New("values are not written yet")
	}
	return nil
}
