// SPDX-License-Identifier: Apache-2.0

// Package authntest is a Kubernetes API server for tests of authentication: it signs service account tokens and answers TokenReviews by the rules of
// k8s.io/kubernetes/pkg/serviceaccount, and serves pods and nodes. [Hostile] makes every kind of token that must be refused.
//
// The same cases run against a real kube-apiserver in the e2e module; this one lets them run anywhere in milliseconds.
package authntest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/google/uuid"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// Cluster is the API server. Its methods are safe for concurrent use.
type Cluster struct {
	server *httptest.Server
	key    *ecdsa.PrivateKey

	mu       sync.Mutex
	accounts map[types.NamespacedName]types.UID
	pods     map[types.NamespacedName]*corev1.Pod
	nodes    map[string]*corev1.Node
	answers  map[string]authenticationv1.TokenReviewStatus // :: token → what is answered instead of the truth
	fault    http.Handler
	asked    map[string]int // :: resource → requests
}

// New starts an API server that lives until the test ends.
func New(t testing.TB) *Cluster {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{
		key:      key,
		accounts: map[types.NamespacedName]types.UID{},
		pods:     map[types.NamespacedName]*corev1.Pod{},
		nodes:    map[string]*corev1.Node{},
		answers:  map[string]authenticationv1.TokenReviewStatus{},
		asked:    map[string]int{},
	}
	c.server = httptest.NewServer(c.handler())
	t.Cleanup(c.server.Close)
	return c
}

// Client is how to reach the API server.
func (c *Cluster) Client() *rest.Config { return &rest.Config{Host: c.server.URL} }

// Break makes every request go to fault; nil repairs the server.
func (c *Cluster) Break(fault http.Handler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = fault
}

// Asked returns how often a resource ("tokenreviews", "pods", "nodes") was asked for.
func (c *Cluster) Asked(resource string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked[resource]
}

// Lie makes the answer to a TokenReview of token be status.
func (c *Cluster) Lie(token string, status authenticationv1.TokenReviewStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[token] = status
}

// AddAccount creates a service account, or creates it anew with another UID.
func (c *Cluster) AddAccount(namespace, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.accounts[types.NamespacedName{Namespace: namespace, Name: name}] = newUID()
}

// DeleteAccount deletes a service account.
func (c *Cluster) DeleteAccount(namespace, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.accounts, types.NamespacedName{Namespace: namespace, Name: name})
}

// AddNode creates a node that reports the given versions of its kubelet and its container runtime.
func (c *Cluster) AddNode(name, kubelet, runtime string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: newUID()}}
	node.Status.NodeInfo.KubeletVersion, node.Status.NodeInfo.ContainerRuntimeVersion = kubelet, runtime
	c.nodes[name] = node
}

// AddPod creates a running pod, or creates it anew with another UID.
func (c *Cluster) AddPod(namespace, name, account, node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: newUID()},
		Spec:       corev1.PodSpec{ServiceAccountName: account, NodeName: node},
		Status:     corev1.PodStatus{Phase: corev1.PodPending},
	}
	c.pods[types.NamespacedName{Namespace: namespace, Name: name}] = pod
}

// ChangePod changes a pod in place.
func (c *Cluster) ChangePod(namespace, name string, change func(*corev1.Pod)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c.pods[types.NamespacedName{Namespace: namespace, Name: name}])
}

// DeletePod deletes a pod.
func (c *Cluster) DeletePod(namespace, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pods, types.NamespacedName{Namespace: namespace, Name: name})
}

func newUID() types.UID { return types.UID(uuid.NewString()) }
