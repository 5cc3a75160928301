// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"cmp"
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// Principal is the pod a token was issued to, as the API server says.
type Principal struct {
	Cluster        string // the name of the cluster whose API server vouched for it
	Namespace      string
	ServiceAccount string
	Pod            string
	PodUID         string
	Node           string
	TokenID        string // the credential id, which the cluster's own audit log has too
}

// API is what is asked of a Kubernetes API server. [Dial] makes one. Implementations must return when the context ends, must not cache, and must not put
// the token into an error.
type API interface {
	ReviewToken(ctx context.Context, token, audience string) (*authenticationv1.TokenReviewStatus, error)
	// Pod and Node return an error for which errors.IsNotFound of k8s.io/apimachinery/pkg/api/errors holds when there is none of that name.
	Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error)
	Node(ctx context.Context, name string) (*corev1.Node, error)
}

// Config says whose tokens are accepted.
type Config struct {
	API      API
	Cluster  string // the name of this cluster in bindings
	Audience string // podspec.Audience if empty
	// The service account of the injector, which alone may follow the names of consumers.
	InjectorNamespace      string
	InjectorServiceAccount string
	// AnyNode turns the node check off, for clusters whose nodes report versions we do not understand or where the registry may not read nodes. A kubelet
	// older than 1.35 then starts containers of the envfile delivery with empty ENVs.
	AnyNode bool
	// Concurrency is how many questions to the API server may be open at once; 64 if 0: below the 100 streams kube-apiserver allows on one HTTP/2 connection.
	Concurrency int
	QueueWait   time.Duration // how long a question waits for its turn before the request is refused as overloaded; 1 s if 0
	Timeout     time.Duration // of each question; 3 s if 0
}

// Authenticator checks tokens. It is safe for concurrent use.
type Authenticator struct {
	config  Config
	slots   chan struct{}
	reviews reviews
	nodes   nodes
}

// New returns an Authenticator for one cluster. It asks the API server nothing yet.
func New(config Config) (*Authenticator, error) {
	if config.API == nil {
		return nil, fmt.Errorf("authenticating workloads: no Kubernetes API is configured")
	}
	if config.Cluster == "" {
		return nil, fmt.Errorf("authenticating workloads: the cluster has no name")
	}
	config.Audience = cmp.Or(config.Audience, podspec.Audience)
	config.Concurrency = cmp.Or(config.Concurrency, 64)
	config.QueueWait = cmp.Or(config.QueueWait, time.Second)
	config.Timeout = cmp.Or(config.Timeout, 3*time.Second)
	return &Authenticator{config: config, slots: make(chan struct{}, config.Concurrency)}, nil
}

// Workload authenticates the token of a pod. The error is an [*Error].
func (a *Authenticator) Workload(ctx context.Context, token string) (Principal, error) {
	switch reason := checkShape(token, a.config.Audience, time.Now()); reason {
	case "":
	case TokenTooLong:
		return Principal{}, refuse(wire.CodeTooLarge, reason, nil)
	default:
		return Principal{}, reject(reason)
	}
	status, err := a.review(ctx, token, a.config.Audience)
	if err != nil {
		return Principal{}, err
	}
	p, reason := identify(status, a.config.Audience)
	if reason != "" {
		return Principal{}, reject(reason)
	}
	p.Cluster = a.config.Cluster
	if err := a.checkPod(ctx, p); err != nil {
		return Principal{}, err
	}
	return p, nil
}

// Injector authenticates the token of an injector's pod: what [Authenticator.Workload] demands, and the configured service account. The error is an
// [*Error].
func (a *Authenticator) Injector(ctx context.Context, token string) (Principal, error) {
	p, err := a.Workload(ctx, token)
	if err != nil {
		return Principal{}, err
	}
	if a.config.InjectorServiceAccount == "" || p.Namespace != a.config.InjectorNamespace || p.ServiceAccount != a.config.InjectorServiceAccount {
		return Principal{}, reject(NotInjector)
	}
	return p, nil
}

// ask runs one question to the API server within the limits of the Authenticator. The error is an [*Error] when the question was not asked, else what
// question returned.
func (a *Authenticator) ask(ctx context.Context, question func(context.Context) error) error {
	select {
	case a.slots <- struct{}{}:
	default:
		wait := time.NewTimer(a.config.QueueWait)
		defer wait.Stop()
		select {
		case a.slots <- struct{}{}:
		case <-wait.C:
			return refuse(wire.CodeOverloaded, Overloaded, nil)
		case <-ctx.Done():
			return refuse(wire.CodeOverloaded, Overloaded, ctx.Err())
		}
	}
	defer func() { <-a.slots }()
	ctx, cancel := context.WithTimeout(ctx, a.config.Timeout)
	defer cancel()
	return question(ctx)
}

// Off stands in for an Authenticator where there is no cluster whose tokens could be checked: it refuses everybody, as unavailable.
type Off struct{}

func off() *Error {
	return &Error{
		Code:    wire.CodeAuthUnavailable,
		Message: "this registry runs without a Kubernetes cluster, so it can authenticate no workload",
		Reason:  Disabled,
	}
}

// Workload refuses.
func (Off) Workload(context.Context, string) (Principal, error) { return Principal{}, off() }

// Injector refuses.
func (Off) Injector(context.Context, string) (Principal, error) { return Principal{}, off() }

// Owns refuses.
func (Off) Owns(context.Context, Principal, string, string) error { return off() }

// CheckNode refuses.
func (Off) CheckNode(context.Context, Principal, []wire.Delivery) error { return off() }
