// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// client asks the API server, as the administrator, whether things are ready.
type client struct{ kubernetes.Interface }

func (c *Cluster) client() (client, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return client{}, fmt.Errorf("reading kubeconfig: %w", err)
	}
	config.QPS = -1 // bounded by what we do, not by time
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		return client{}, fmt.Errorf("creating client: %w", err)
	}
	return client{set}, nil
}

func (k client) ready(ctx context.Context) error {
	return k.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

func (k client) nodeReady(ctx context.Context) error {
	node, err := k.CoreV1().Nodes().Get(ctx, NodeName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type != corev1.NodeReady {
			continue
		}
		if condition.Status != corev1.ConditionTrue {
			return errors.New(condition.Message)
		}
		if len(node.Spec.Taints) > 0 {
			return fmt.Errorf("node has taint %s", node.Spec.Taints[0].Key)
		}
		return nil
	}
	return errors.New("node reports no condition")
}

// accountReady reports whether pods can be created in the default namespace.
func (k client) accountReady(ctx context.Context) error {
	if _, err := k.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{}); err != nil {
		return err
	}
	_, err := k.CoreV1().ConfigMaps(metav1.NamespaceDefault).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
	return err
}

// answers reports whether an HTTP endpoint answers 200.
func answers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		return nil
	}
}

// heartbeat returns when the kubelet last reported the node's condition.
func (k client) heartbeat(ctx context.Context) (metav1.Time, error) {
	node, err := k.CoreV1().Nodes().Get(ctx, NodeName, metav1.GetOptions{})
	if err != nil {
		return metav1.Time{}, fmt.Errorf("reading node: %w", err)
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.LastHeartbeatTime, nil
		}
	}
	return metav1.Time{}, errors.New("reading node: it reports no condition")
}

func (k client) beatsSince(ctx context.Context, since metav1.Time) error {
	latest, err := k.heartbeat(ctx)
	if err != nil {
		return err
	}
	if !since.Before(&latest) {
		return errors.New("no heartbeat yet")
	}
	return k.nodeReady(ctx)
}
