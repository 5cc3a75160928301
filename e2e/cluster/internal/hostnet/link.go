// SPDX-License-Identifier: Apache-2.0

package hostnet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"time"
)

// Link is the interface that holds the node's address: a bridge without ports.
// The machine's own address may change, may not exist, and is open to its
// neighbours. Loopback will not do: the kubelet refuses it.
const Link = "lanyard-e2e"

// AddLink creates Link with the node's address. Service addresses are routed to
// it: those the packet filter does not rewrite end there instead of leaving
// through the default route.
func AddLink(ctx context.Context, r Ranges) error {
	return run(ctx,
		"ip link add "+Link+" type bridge",
		"ip address add "+r.Node.String()+"/32 dev "+Link,
		"ip link set "+Link+" up",
		"ip route add "+r.Services.String()+" dev "+Link+" src "+r.Node.String(),
	)
}

// RemoveLink removes Link, and the pod interfaces that routes into the pod
// range lead to. It returns once the kernel has none of them left.
func RemoveLink(ctx context.Context, r Ranges) error {
	var problems []error
	if Exists(ctx, Link) {
		problems = append(problems, run(ctx, "ip link delete "+Link))
	}
	// The kernel takes a pod's interfaces away with its network namespace, but
	// in its own time.
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		left, err := podLinks(ctx, r.Pods)
		if err != nil || len(left) == 0 {
			return errors.Join(append(problems, err)...)
		}
		for _, name := range left {
			// Losing the race against the kernel is the ordinary case.
			_ = run(ctx, "ip link delete "+name)
		}
		select {
		case <-ctx.Done():
			return errors.Join(append(problems, fmt.Errorf("removing pod interfaces: %s left", strings.Join(left, " ")))...)
		case <-poll.C:
		}
	}
}

// Exists reports whether the machine has an interface called name.
func Exists(ctx context.Context, name string) bool {
	return run(ctx, "ip link show dev "+name) == nil
}

func podLinks(ctx context.Context, pods netip.Prefix) ([]string, error) {
	out, err := output(ctx, "ip", "-4", "-json", "route", "show", "root", pods.String())
	if err != nil {
		return nil, err
	}
	var routes []struct {
		Device string `json:"dev"`
	}
	if err := json.Unmarshal(out, &routes); err != nil {
		return nil, fmt.Errorf("parsing routes: %w", err)
	}
	var names []string
	for _, route := range routes {
		if strings.HasPrefix(route.Device, "veth") {
			names = append(names, route.Device)
		}
	}
	return names, nil
}

// run executes commands in order; none of their arguments holds a space.
func run(ctx context.Context, commands ...string) error {
	for _, command := range commands {
		fields := strings.Fields(command)
		if _, err := output(ctx, fields[0], fields[1:]...); err != nil {
			return err
		}
	}
	return nil
}

func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("running %s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}
