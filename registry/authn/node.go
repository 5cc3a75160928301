// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/lanyard-dev/lanyard/internal/kubelet"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

const (
	// nodeTTL is how long a node that can do it is believed: longer than the pods of a rollout take to arrive, shorter than a node takes to be reinstalled.
	nodeTTL = time.Minute
	// maxNodes is twice the largest cluster Kubernetes supports, for each delivery that asks something of a node.
	maxNodes = 2 * 10_000
)

// capability is what a node was found to be able to do.
type capability struct {
	node     string
	delivery wire.Delivery
}

// nodes remembers which nodes can do which deliveries. Those that cannot are asked about each time, so that an upgrade is seen at once.
type nodes struct {
	mu    sync.Mutex
	known map[capability]time.Time // :: when it was seen
}

// incapable says why a node cannot do a delivery; nil for those that every node can.
func incapable(delivery wire.Delivery) func(kubelet.Info) string {
	switch delivery {
	case wire.DeliveryEnvfile:
		return kubelet.Info.NoEnvFiles
	case wire.DeliveryDirect:
		return kubelet.Info.NoImageVolumes
	}
	return nil
}

// CheckNode refuses a principal whose node cannot do each of the deliveries, with wire.CodeNodeUnsupported. p must come from [Authenticator.Workload], which
// has compared its node with the live pod's. The error is an [*Error].
func (a *Authenticator) CheckNode(ctx context.Context, p Principal, deliveries []wire.Delivery) error {
	if a.config.AnyNode {
		return nil
	}
	var info *kubelet.Info // asked for at most once
	for _, delivery := range deliveries {
		why := incapable(delivery)
		if why == nil || a.nodes.fresh(capability{p.Node, delivery}, time.Now()) {
			continue
		}
		if info == nil {
			var err error
			if info, err = a.node(ctx, p.Node); err != nil {
				return err
			}
		}
		if reason := why(*info); reason != "" {
			e := refuse(wire.CodeNodeUnsupported, NodeUnsupported, nil)
			e.Message = "the pod's node cannot do the delivery " + string(delivery) + ": " + reason
			return e
		}
		a.nodes.remember(capability{p.Node, delivery}, time.Now())
	}
	return nil
}

func (a *Authenticator) node(ctx context.Context, name string) (*kubelet.Info, error) {
	var node *corev1.Node
	err := a.ask(ctx, func(ctx context.Context) (err error) {
		node, err = a.config.API.Node(ctx, name)
		return err
	})
	switch {
	case apierrors.IsNotFound(err):
		return nil, refuse(wire.CodeNodeUnsupported, NodeUnsupported, err)
	case err != nil:
		return nil, unavailable(NodeUnavailable, err)
	}
	return &kubelet.Info{Kubelet: node.Status.NodeInfo.KubeletVersion, Runtime: node.Status.NodeInfo.ContainerRuntimeVersion}, nil
}

func (n *nodes) fresh(c capability, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	seen, ok := n.known[c]
	return ok && now.Sub(seen) < nodeTTL
}

func (n *nodes) remember(c capability, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil || len(n.known) >= maxNodes {
		n.known = make(map[capability]time.Time)
	}
	n.known[c] = now
}
