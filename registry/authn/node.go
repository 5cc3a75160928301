// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// The first kubelet that reads env files without a feature gate being set. Older ones ignore the reference and start the container with an empty ENV.
const envfileMajor, envfileMinor = 1, 35

const (
	// nodeTTL is how long a node that can do it is believed: longer than the pods of a rollout take to arrive, shorter than a node takes to be reinstalled.
	nodeTTL = time.Minute
	// maxNodes is twice the largest cluster Kubernetes supports.
	maxNodes = 10_000
)

// nodes remembers which nodes can read env files. Those that cannot are asked about each time, so that an upgrade is seen at once.
type nodes struct {
	mu    sync.Mutex
	known map[string]time.Time // :: node → when it was seen
}

// CheckEnvfile refuses a principal whose node cannot deliver by env file, with wire.CodeNodeUnsupported. p must come from [Authenticator.Workload], which
// has compared its node with the live pod's. The error is an [*Error].
func (a *Authenticator) CheckEnvfile(ctx context.Context, p Principal) error {
	if a.config.AnyNode || a.nodes.fresh(p.Node, time.Now()) {
		return nil
	}
	var node *corev1.Node
	err := a.ask(ctx, func(ctx context.Context) (err error) {
		node, err = a.config.API.Node(ctx, p.Node)
		return err
	})
	switch {
	case apierrors.IsNotFound(err):
		return refuse(wire.CodeNodeUnsupported, NodeUnsupported, err)
	case err != nil:
		return unavailable(NodeUnavailable, err)
	case !readsEnvfiles(node.Status.NodeInfo.KubeletVersion):
		return refuse(wire.CodeNodeUnsupported, NodeUnsupported, nil)
	}
	a.nodes.remember(p.Node, time.Now())
	return nil
}

func (n *nodes) fresh(name string, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	seen, ok := n.known[name]
	return ok && now.Sub(seen) < nodeTTL
}

func (n *nodes) remember(name string, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil || len(n.known) >= maxNodes {
		n.known = make(map[string]time.Time)
	}
	n.known[name] = now
}

// readsEnvfiles parses versions such as v1.37.2, v1.35.0-eks-1a2b3c and v1.36.1+k3s1. What it does not understand cannot do it.
func readsEnvfiles(version string) bool {
	version, ok := strings.CutPrefix(version, "v")
	if !ok {
		return false
	}
	first, rest, _ := strings.Cut(version, ".")
	second, _, ok := strings.Cut(rest, ".")
	if !ok {
		return false
	}
	major, err := strconv.Atoi(first)
	if err != nil {
		return false
	}
	minor, err := strconv.Atoi(second)
	if err != nil {
		return false
	}
	return major > envfileMajor || major == envfileMajor && minor >= envfileMinor
}
