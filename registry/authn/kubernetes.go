// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// maxAnswer bounds what is read of an answer: no object is larger than etcd's request limit of 1.5 MiB.
const maxAnswer = 2 << 20

// Kubernetes is the [API] of a real cluster. It knows two API groups only: the full clientset costs 20 MiB of memory for the rest.
type Kubernetes struct {
	core           rest.Interface
	authentication rest.Interface
}

// Dial returns the API of the server in config, which it does not change. It opens no connection yet.
//
// The client's own rate limit, 5 requests a second by default, is lifted: the Authenticator bounds what is open at once instead. It retries nothing either;
// agents do, with jitter.
func Dial(config *rest.Config) (*Kubernetes, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), authenticationv1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("registering Kubernetes types: %w", err)
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})

	config = rest.CopyConfig(config)
	config.QPS, config.RateLimiter = -1, nil
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return limitedTransport{next} })

	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("configuring the Kubernetes client: %w", err)
	}
	k := &Kubernetes{}
	for _, group := range []struct {
		path    string
		version schema.GroupVersion
		into    *rest.Interface
	}{{"/api", corev1.SchemeGroupVersion, &k.core}, {"/apis", authenticationv1.SchemeGroupVersion, &k.authentication}} {
		c := rest.CopyConfig(config)
		c.APIPath, c.GroupVersion = group.path, &group.version
		if *group.into, err = rest.RESTClientForConfigAndClient(c, client); err != nil {
			return nil, fmt.Errorf("configuring the Kubernetes client: %w", err)
		}
	}
	return k, nil
}

// ReviewToken implements [API].
func (k *Kubernetes) ReviewToken(ctx context.Context, token, audience string) (*authenticationv1.TokenReviewStatus, error) {
	question := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{audience}}}
	var answer authenticationv1.TokenReview
	if err := k.authentication.Post().Resource("tokenreviews").Body(question).MaxRetries(0).Do(ctx).Into(&answer); err != nil {
		return nil, fmt.Errorf("reviewing token: %w", withoutBody(err))
	}
	return &answer.Status, nil
}

// Pod implements [API]. No resourceVersion is sent, which makes it a consistent read.
func (k *Kubernetes) Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	var pod corev1.Pod
	if err := k.core.Get().Namespace(namespace).Resource("pods").Name(name).MaxRetries(0).Do(ctx).Into(&pod); err != nil {
		return nil, fmt.Errorf("getting pod %s/%s: %w", namespace, name, withoutBody(err))
	}
	return &pod, nil
}

// Node implements [API].
func (k *Kubernetes) Node(ctx context.Context, name string) (*corev1.Node, error) {
	var node corev1.Node
	if err := k.core.Get().Resource("nodes").Name(name).MaxRetries(0).Do(ctx).Into(&node); err != nil {
		return nil, fmt.Errorf("getting node %s: %w", name, withoutBody(err))
	}
	return &node, nil
}

// withoutBody keeps of an error what can be logged. client-go puts bodies it does not understand into its errors, and what stands between us and the API
// server could reflect the token in one.
func withoutBody(err error) error {
	if apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse) {
		return errors.New("something that is no API server answered") // its 404 does not mean that a pod is gone
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		s := status.Status()
		message := fmt.Sprintf("the API server answered %d %s", s.Code, s.Reason)
		return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: s.Code, Reason: s.Reason, Message: message}}
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed
	}
	if errors.Is(err, errAnswerTooLarge) {
		return errAnswerTooLarge
	}
	return errors.New("the API server's answer could not be read")
}

var errAnswerTooLarge = errors.New("the API server's answer is larger than any object")

// limitedTransport bounds the answers of an API server that may be anything behind a wrong address.
type limitedTransport struct{ next http.RoundTripper }

func (t limitedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = &limitedBody{ReadCloser: answer.Body, left: maxAnswer}
	return answer, nil
}

// WrappedRoundTripper lets client-go find the transport below, whose idle connections it closes when credentials change.
func (t limitedTransport) WrappedRoundTripper() http.RoundTripper { return t.next }

type limitedBody struct {
	io.ReadCloser
	left int
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errAnswerTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
