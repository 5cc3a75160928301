// SPDX-License-Identifier: Apache-2.0

package workloadauth

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	account = "api"
	node    = "lanyard-workloadauth"
)

// suite is the namespace in which the tokens of one run are made, and the
// registry they are sent to.
type suite struct {
	client    kubernetes.Interface
	namespace string
	url       string
	http      *http.Client
	audience  string
}

func newSuite(t *testing.T) *suite {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", required(t, "LANYARD_E2E_KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{
		client: client, url: strings.TrimSuffix(required(t, "LANYARD_E2E_WORKLOAD_URL"), "/") + "/v1/resolve",
		http: &http.Client{Timeout: 15 * time.Second}, audience: cmp.Or(os.Getenv("LANYARD_E2E_AUDIENCE"), "lanyard"),
	}
	if file := os.Getenv("LANYARD_E2E_WORKLOAD_CA"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			t.Fatalf("%s holds no certificate", file)
		}
		s.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: os.Getenv("LANYARD_E2E_WORKLOAD_NAME")}, ForceAttemptHTTP2: true}
	}
	created, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "workloadauth-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.namespace = created.Name
	t.Cleanup(func() {
		if err := client.CoreV1().Namespaces().Delete(context.WithoutCancel(t.Context()), s.namespace, metav1.DeleteOptions{}); err != nil {
			t.Logf("deleting namespace: %v", err)
		}
	})
	s.addNode(t)
	s.addAccount(t, account)
	return s
}

func required(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set; see the package's documentation", name)
	}
	return value
}

// addNode makes a node without a kubelet, new enough for every delivery.
func (s *suite) addNode(t *testing.T) {
	t.Helper()
	n, err := s.client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node}, Spec: corev1.NodeSpec{Unschedulable: true},
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		n, err = s.client.CoreV1().Nodes().Get(t.Context(), node, metav1.GetOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	n.Status.NodeInfo.KubeletVersion = "v1.37.2"
	if _, err := s.client.CoreV1().Nodes().UpdateStatus(t.Context(), n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (s *suite) addAccount(t *testing.T, name string) {
	t.Helper()
	if _, err := s.client.CoreV1().ServiceAccounts(s.namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (s *suite) deleteAccount(t *testing.T, name string) {
	t.Helper()
	if err := s.client.CoreV1().ServiceAccounts(s.namespace).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// addPod creates a pod that no kubelet runs. change may be nil.
func (s *suite) addPod(t *testing.T, name string, change func(*corev1.Pod)) {
	t.Helper()
	no := false
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{
		ServiceAccountName: account, NodeName: node, AutomountServiceAccountToken: &no,
		Containers: []corev1.Container{{Name: "app", Image: "registry.local/none:1"}},
	}}
	if change != nil {
		change(pod)
	}
	if _, err := s.client.CoreV1().Pods(s.namespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (s *suite) deletePod(t *testing.T, name string) {
	t.Helper()
	now := int64(0)
	if err := s.client.CoreV1().Pods(s.namespace).Delete(t.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
}

// token requests a token of a service account, bound to an object or to none.
func (s *suite) token(t *testing.T, name string, bound *authenticationv1.BoundObjectReference, audiences ...string) string {
	t.Helper()
	answer, err := s.client.CoreV1().ServiceAccounts(s.namespace).CreateToken(t.Context(), name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: audiences, BoundObjectRef: bound},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status.Token
}

func toPod(name string) *authenticationv1.BoundObjectReference {
	return &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: name}
}

// podToken creates a pod and returns the token its agent would have.
func (s *suite) podToken(t *testing.T, name string, change func(*corev1.Pod)) string {
	t.Helper()
	s.addPod(t, name, change)
	return s.token(t, account, toPod(name), s.audience)
}

// answer is what the registry said.
type answer struct {
	status int
	code   string
	body   string // without the request id
}

// resolve presents a token. The consumer does not exist.
func (s *suite) resolve(t *testing.T, token string) answer {
	t.Helper()
	body := `{"protocol":1,"containers":[{"name":"app","consumer":"no-such-organization/none","delivery":"envfile","envs":["A"]}]}`
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := s.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var problem map[string]any
	if err := json.Unmarshal(text, &problem); err != nil {
		t.Fatalf("status %d with %q: %v", response.StatusCode, text, err)
	}
	delete(problem, "request_id")
	rest, err := json.Marshal(problem)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, fmt.Sprint(problem["code"]), string(rest)}
}

// authenticated fails the test unless the registry knew who asked.
func (s *suite) authenticated(t *testing.T, token string) {
	t.Helper()
	if a := s.resolve(t, token); a.code != "not_bound" || a.status != http.StatusForbidden || !strings.Contains(a.body, s.namespace) {
		t.Fatalf("a good token was answered with status %d: %s", a.status, a.body)
	}
}
