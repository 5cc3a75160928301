// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// kubectl runs the person's kubectl, with the person's rights: this program is no client of Kubernetes. It only reads.
type kubectl struct{ context string }

// run returns what kubectl prints. The error of one that ran and failed is an *[exec.ExitError] below what it said, in one line.
func (k kubectl) run(ctx context.Context, args ...string) (string, error) {
	if k.context != "" {
		args = append([]string{"--context", k.context}, args...)
	}
	cmd := exec.CommandContext(ctx, "kubectl", args...) //nolint:gosec // no shell reads the arguments
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	switch {
	case err == nil:
		return out.String(), nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return "", failed(Failure, "install kubectl, or put it into the PATH", errors.New("there is no kubectl"))
	}
	line, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
	return out.String(), failed(Unavailable, "try the same with kubectl", fmt.Errorf("kubectl: %.200s: %w", line, err))
}

// list reads objects of ours.
func (k kubectl) list(ctx context.Context, kinds string, into any) error {
	text, err := k.run(ctx, "get", kinds, "-A", "-l", "app.kubernetes.io/part-of=lanyard", "-o", "json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return failed(Failure, "", errors.New("kubectl printed something that is not a list of objects"))
	}
	return nil
}

// nodes returns what each node says of itself: name, unschedulable, operating system, kubelet, runtime.
func (k kubectl) nodes(ctx context.Context) ([][]string, error) {
	const columns = `{range .items[*]}{.metadata.name}{"\t"}{.spec.unschedulable}{"\t"}{.status.nodeInfo.operatingSystem}{"\t"}{.status.nodeInfo.kubeletVersion}{"\t"}{.status.nodeInfo.containerRuntimeVersion}{"\n"}{end}`
	text, err := k.run(ctx, "get", "nodes", "-o", "jsonpath="+columns)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for line := range strings.Lines(text) {
		if row := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); len(row) == 5 {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// canI asks whether a service account may do something. It returns an error if the person may not ask.
func (k kubectl) canI(ctx context.Context, account string, what ...string) (bool, error) {
	text, err := k.run(ctx, append([]string{"auth", "can-i", "--as", account}, what...)...)
	switch strings.TrimSpace(text) {
	case "yes":
		return true, nil
	case "no": // the exit code says it once more
		return false, nil
	}
	if err == nil {
		err = errors.New("kubectl answers neither yes nor no")
	}
	return false, err
}
