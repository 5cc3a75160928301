// SPDX-License-Identifier: Apache-2.0

package hostnet

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// settings are the kernel settings that a node changes: forwarding by the CNI
// plugin and kube-proxy, the rest by the kubelet at its start.
var settings = []string{
	"net/ipv4/ip_forward",
	"net/ipv4/conf/all/route_localnet",
	"net/ipv4/vs/conntrack",
	"net/netfilter/nf_conntrack_max",
	"net/netfilter/nf_conntrack_tcp_timeout_established",
	"net/netfilter/nf_conntrack_tcp_timeout_close_wait",
	"vm/overcommit_memory",
	"vm/panic_on_oom",
	"kernel/panic",
	"kernel/panic_on_oops",
	"kernel/keys/root_maxkeys",
	"kernel/keys/root_maxbytes",
}

// Settings reads the kernel settings a node changes: name below /proc/sys →
// value. Settings this kernel lacks are left out.
func Settings() map[string]string {
	values := make(map[string]string, len(settings))
	for _, name := range settings {
		if value, err := os.ReadFile(filepath.Join("/proc/sys", name)); err == nil {
			values[name] = string(bytes.TrimSpace(value))
		}
	}
	return values
}

// RestoreSettings writes back what Settings returned, where it differs now.
func RestoreSettings(values map[string]string) error {
	now := Settings()
	var problems []error
	for name, value := range values {
		if now[name] == value {
			continue
		}
		if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0); err != nil {
			problems = append(problems, fmt.Errorf("restoring %s: %w", strings.ReplaceAll(name, "/", "."), err))
		}
	}
	return errors.Join(problems...)
}

// Forward lets the machine pass packets between pods.
func Forward() error {
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		return fmt.Errorf("enabling forwarding: %w", err)
	}
	return nil
}
