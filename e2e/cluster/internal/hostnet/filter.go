// SPDX-License-Identifier: Apache-2.0

package hostnet

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// Chains of our own in the filter table. The kubelet's and kube-proxy's names
// all begin with kubePrefix.
const (
	forwardChain = "LANYARD-E2E-FORWARD"
	inputChain   = "LANYARD-E2E-INPUT"
	ownPrefix    = "LANYARD-E2E-"
	kubePrefix   = "KUBE-"
)

// AddFilter lets pods talk to each other and to the node, and to nobody else:
// whatever the machine's own policy is, and although it forwards now.
func AddFilter(ctx context.Context, r Ranges) error {
	pods := r.Pods.String()
	return run(ctx,
		"iptables -w -N "+forwardChain,
		"iptables -w -A "+forwardChain+" -s "+pods+" -d "+pods+" -j ACCEPT",
		"iptables -w -A "+forwardChain+" -s "+pods+" -j REJECT",
		"iptables -w -A "+forwardChain+" -d "+pods+" -j REJECT",
		"iptables -w -I FORWARD -j "+forwardChain,
		"iptables -w -N "+inputChain,
		"iptables -w -A "+inputChain+" -s "+pods+" -j ACCEPT",
		"iptables -w -I INPUT -j "+inputChain,
	)
}

// KubernetesChains returns the chains that a kubelet or kube-proxy made on this
// machine.
func KubernetesChains(ctx context.Context) ([]string, error) {
	return chains(ctx, func(name string) bool { return strings.HasPrefix(name, kubePrefix) })
}

// RemoveFilter removes our chains and Kubernetes', and every rule that leads to
// them. Call it only where KubernetesChains was empty before the cluster came.
func RemoveFilter(ctx context.Context) error {
	var problems []error
	for _, family := range families {
		for _, table := range tables {
			out, err := output(ctx, family, "-w", "-t", table, "-S")
			if err != nil {
				// A kernel without this family or table has nothing to remove.
				continue
			}
			problems = append(problems, restore(ctx, family, table, removal(string(out))))
		}
	}
	return errors.Join(problems...)
}

var (
	families = []string{"iptables", "ip6tables"}
	tables   = []string{"filter", "nat", "mangle", "raw"}
)

// removal returns the iptables arguments that remove what is ours from the
// listing of a table: first rules elsewhere that jump to our chains, then the
// contents of these chains, then the chains, which nothing refers to any more.
func removal(listing string) [][]string {
	var jumps, flushes, deletes [][]string
	for line := range strings.Lines(listing) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch chain := fields[1]; {
		case fields[0] == "-N" && ours(chain):
			flushes = append(flushes, []string{"-F", chain})
			deletes = append(deletes, []string{"-X", chain})
		case fields[0] == "-A" && !ours(chain):
			if target := slices.Index(fields, "-j"); target >= 0 && target+1 < len(fields) && ours(fields[target+1]) {
				jumps = append(jumps, append([]string{"-D"}, splitQuoted(line)[1:]...))
			}
		}
	}
	return slices.Concat(jumps, flushes, deletes)
}

func restore(ctx context.Context, family, table string, commands [][]string) error {
	var problems []error
	for _, command := range commands {
		_, err := output(ctx, family, append([]string{"-w", "-t", table}, command...)...)
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

func chains(ctx context.Context, wanted func(string) bool) ([]string, error) {
	var found []string
	for _, family := range families {
		for _, table := range tables {
			out, err := output(ctx, family, "-w", "-t", table, "-S")
			if err != nil {
				if family == "iptables" && table == "filter" {
					return nil, err // without this one there is no cluster
				}
				continue
			}
			for line := range strings.Lines(string(out)) {
				if fields := strings.Fields(line); len(fields) == 2 && fields[0] == "-N" && wanted(fields[1]) {
					found = append(found, family+" "+table+" "+fields[1])
				}
			}
		}
	}
	return found, nil
}

func ours(chain string) bool {
	return strings.HasPrefix(chain, ownPrefix) || strings.HasPrefix(chain, kubePrefix)
}

// splitQuoted splits a rule as iptables prints it: comments are in double
// quotes, with no escapes in those of Kubernetes.
func splitQuoted(line string) []string {
	var fields []string
	for i, part := range strings.Split(strings.TrimSpace(line), `"`) {
		if i%2 == 1 {
			fields = append(fields, part)
			continue
		}
		fields = append(fields, strings.Fields(part)...)
	}
	return fields
}
