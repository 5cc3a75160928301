// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package agent

import "errors"

func mainProcess(string, string) (int, error) {
	return 0, errors.New("processes of other containers are found on Linux only")
}
