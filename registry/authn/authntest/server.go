// SPDX-License-Identifier: Apache-2.0

package authntest

import (
	"io"
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/types"
)

// codec speaks what the registry's client speaks.
var codec = func() *protobuf.Serializer {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, authenticationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	return protobuf.NewSerializer(scheme, scheme)
}()

func (c *Cluster) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /apis/authentication.k8s.io/v1/tokenreviews", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var review authenticationv1.TokenReview
		if _, _, err := codec.Decode(body, nil, &review); err != nil {
			http.Error(w, "not a TokenReview", http.StatusBadRequest)
			return
		}
		review.Status = c.review(review.Spec)
		c.answer(w, http.StatusCreated, authenticationv1.SchemeGroupVersion.WithKind("TokenReview"), &review)
	})
	mux.HandleFunc("GET /api/v1/namespaces/{namespace}/pods/{name}", func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		pod := c.pods[types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}].DeepCopy()
		c.mu.Unlock()
		if pod == nil {
			c.notFound(w, "pods", r.PathValue("name"))
			return
		}
		c.answer(w, http.StatusOK, corev1.SchemeGroupVersion.WithKind("Pod"), pod)
	})
	mux.HandleFunc("GET /api/v1/nodes/{name}", func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		node := c.nodes[r.PathValue("name")].DeepCopy()
		c.mu.Unlock()
		if node == nil {
			c.notFound(w, "nodes", r.PathValue("name"))
			return
		}
		c.answer(w, http.StatusOK, corev1.SchemeGroupVersion.WithKind("Node"), node)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.asked[resource(r)]++
		fault := c.fault
		c.mu.Unlock()
		if fault != nil {
			fault.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func resource(r *http.Request) string {
	switch {
	case r.Method == http.MethodPost:
		return "tokenreviews"
	case len(r.URL.Path) > len("/api/v1/nodes/") && r.URL.Path[:len("/api/v1/nodes/")] == "/api/v1/nodes/":
		return "nodes"
	}
	return "pods"
}

func (c *Cluster) answer(w http.ResponseWriter, code int, kind schema.GroupVersionKind, object runtime.Object) {
	object.GetObjectKind().SetGroupVersionKind(kind)
	w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
	w.WriteHeader(code)
	_ = codec.Encode(object, w)
}

func (c *Cluster) notFound(w http.ResponseWriter, resource, name string) {
	c.answer(w, http.StatusNotFound, schema.GroupVersionKind{Version: "v1", Kind: "Status"}, &metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
		Message: resource + " \"" + name + "\" not found", Details: &metav1.StatusDetails{Name: name, Kind: resource},
	})
}
