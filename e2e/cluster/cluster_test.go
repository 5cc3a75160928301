// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/lanyard-dev/lanyard/e2e/cluster"
)

// TestCluster shows that a cluster is what its package comment says, and that
// nothing of it is left in the end. It takes the machine's only place for a
// cluster.
func TestCluster(t *testing.T) {
	config := cluster.Config{Name: "smoke", Progress: t.Output()}
	if err := cluster.Remove(t.Context(), config); err != nil { // what a failed run left
		t.Fatal(err)
	}
	before := snapshot(t)
	start := time.Now()
	c, err := cluster.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("node ready after %s", time.Since(start).Round(100*time.Millisecond))
	stopped := false
	t.Cleanup(func() {
		if !stopped {
			_ = cluster.Remove(contextForCleanup(), config)
		}
	})

	archive := filepath.Join(t.TempDir(), "probe.tar")
	if err := cluster.BuildImage(t.Context(), "../images/probe", probeImage, archive); err != nil {
		t.Fatal(err)
	}
	if err := c.Load(t.Context(), archive); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, c)

	// In order: later ones take parts away that earlier ones need.
	t.Run("a second cluster is refused, naming what the first belongs to", f.second)
	t.Run("an init container's file becomes the main container's environment", f.envFile)
	t.Run("a pod has its own token reviewed by the API server", f.tokenReview)
	t.Run("a Service answers the machine and pods, by address and by name", f.service)
	t.Run("a claim is bound and keeps what was written", f.claim)
	t.Run("exec reaches a container without a shell", f.exec)
	t.Run("the API server reaches a webhook through its Service", f.webhook)
	t.Run("a pod cannot reach beyond the machine", f.isolated)
	t.Run("Vault answers pods", f.vault)
	t.Run("the API server stops and starts, and tokens survive", f.apiServerRestart)
	t.Run("another program can open the cluster", f.open)
	t.Run("a kubelet without EnvFiles ignores fileKeyRef, and is restored", f.oldKubelet)

	if t.Failed() {
		f.dump()
	}
	start = time.Now()
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	stopped = true
	t.Logf("removed after %s", time.Since(start).Round(100*time.Millisecond))
	t.Run("nothing is left on the machine", func(t *testing.T) { before.compare(t, snapshot(t)) })
}

func (f *fixture) second(t *testing.T) {
	if f.cluster.Driver() != cluster.Host {
		return // only the host driver is alone on its machine
	}
	_, err := cluster.Start(t.Context(), cluster.Config{Name: "other", Driver: cluster.Host})
	want := fmt.Sprintf("it belongs to process %d", os.Getpid())
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want an error that says %q", err, want)
	}
}

// envFilePod writes NAME='value' lines in an init container, and gives them to
// the main container, which sets no command.
func envFilePod(name string) *corev1.Pod {
	pod := probePod(name)
	limit := resource.MustParse("1Mi")
	pod.Spec.Volumes = []corev1.Volume{{Name: "env", VolumeSource: corev1.VolumeSource{
		EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: &limit},
	}}}
	writer := pod.Spec.Containers[0]
	writer.Name = "writer"
	writer.Args = []string{"write", "/env/file", "GREETING='hello, world'"}
	writer.VolumeMounts = []corev1.VolumeMount{{Name: "env", MountPath: "/env"}}
	pod.Spec.InitContainers = []corev1.Container{writer}
	pod.Spec.Containers[0].Env = []corev1.EnvVar{
		{Name: "PLAIN", Value: "as is"},
		{Name: "FROM_FILE", ValueFrom: &corev1.EnvVarSource{FileKeyRef: &corev1.FileKeySelector{
			VolumeName: "env", Path: "file", Key: "GREETING",
		}}},
	}
	return pod
}

func (f *fixture) envFile(t *testing.T) {
	f.create(t, envFilePod("envfile"))
	f.awaitRunning(t, "envfile")
	env := decodeEnv(t, f.awaitLog(t, "envfile"))
	if env["FROM_FILE"] != "hello, world" || env["PLAIN"] != "as is" {
		t.Errorf("got FROM_FILE=%q PLAIN=%q", env["FROM_FILE"], env["PLAIN"])
	}
}

func (f *fixture) tokenReview(t *testing.T) {
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "smoke-reviewer"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:auth-delegator"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "default"}},
	}
	if _, err := f.client.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"lanyard"}}}
	token, err := f.client.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "default", request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f.token = token.Status.Token
	body, err := json.Marshal(authenticationv1.TokenReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "authentication.k8s.io/v1", Kind: "TokenReview"},
		Spec:     authenticationv1.TokenReviewSpec{Token: f.token, Audiences: []string{"lanyard"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	log := f.runProbe(t, "reviewer", "api", http.MethodPost, "/apis/authentication.k8s.io/v1/tokenreviews", string(body))
	status, answer, _ := strings.Cut(log, "\n")
	var review authenticationv1.TokenReview
	if err := json.Unmarshal([]byte(answer), &review); err != nil {
		t.Fatalf("%v in %q", err, log)
	}
	if status != "201 Created" || !review.Status.Authenticated || review.Status.User.Username != "system:serviceaccount:default:default" {
		t.Errorf("got %s, %+v", status, review.Status)
	}
}

func (f *fixture) service(t *testing.T) {
	pod := probePod("server")
	pod.Labels = map[string]string{"app": "server"}
	f.create(t, pod)
	f.awaitRunning(t, "server")
	service, err := f.client.CoreV1().Services("default").Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "server"},
		Spec: corev1.ServiceSpec{
			Selector: pod.Labels,
			Ports:    []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + service.Spec.ClusterIP + "/healthz"
	if f.cluster.Driver() == cluster.Host { // with kind, Services end at the node container
		eventually(t, func() error { return getOK(t.Context(), url) })
	}
	if got := f.runProbe(t, "by-address", "get", url); got != "200 OK\nok\n" {
		t.Errorf("by address: got %q", got)
	}
	if got := f.runProbe(t, "by-name", "get", "http://server.default.svc.cluster.local/healthz"); got != "200 OK\nok\n" {
		t.Errorf("by full name: got %q", got)
	}
	if got := f.runProbe(t, "by-short-name", "get", "http://server/healthz"); got != "200 OK\nok\n" {
		t.Errorf("by short name: got %q", got)
	}
	// A pod that reaches itself through its own Service: the packet turns round at the node.
	out, err := f.cluster.Kubectl(t.Context(), "exec", "server", "--", "/probe", "get", url).CombinedOutput()
	if err != nil || string(out) != "200 OK\nok\n" {
		t.Errorf("from the serving pod itself: got %q, %v", out, err)
	}
}

func (f *fixture) claim(t *testing.T) {
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
	if _, err := f.client.CoreV1().PersistentVolumeClaims("default").Create(t.Context(), claim, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod := probePod("claimant")
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	pod.Spec.Containers[0].Args = []string{"write", "/data/file", "kept"}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
	pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
	}}}
	f.create(t, pod)
	f.awaitPhase(t, "claimant", corev1.PodSucceeded)
	bound, err := f.client.CoreV1().PersistentVolumeClaims("default").Get(t.Context(), "data", metav1.GetOptions{})
	if err != nil || bound.Status.Phase != corev1.ClaimBound {
		t.Errorf("got claim %s, %v, want Bound", bound.Status.Phase, err)
	}
}

func (f *fixture) exec(t *testing.T) {
	out, err := f.cluster.Kubectl(t.Context(), "exec", "envfile", "--", "/probe", "print").Output()
	if err != nil {
		t.Fatal(err)
	}
	if env := decodeEnv(t, string(out)); env["FROM_FILE"] != "hello, world" {
		t.Errorf("got FROM_FILE=%q through exec", env["FROM_FILE"])
	}
}

func (f *fixture) isolated(t *testing.T) {
	// An address that no machine answers: had a packet left, there would be a
	// timeout instead of a prompt rejection.
	log := f.failProbe(t, "outward", "get", "http://198.51.100.1/")
	if !strings.Contains(log, "refused") && !strings.Contains(log, "unreachable") && !strings.Contains(log, "not permitted") {
		t.Errorf("got %q, want a rejection", log)
	}
}

func (f *fixture) vault(t *testing.T) {
	vault, err := f.cluster.StartVault(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write := vaultRequest(t, vault, http.MethodPost, "/v1/kv/data/team/db", `{"data":{"password":"correct horse"}}`)
	if write.StatusCode != http.StatusOK {
		t.Fatalf("writing: %s", write.Status)
	}
	for _, method := range []string{"approle", "kubernetes"} {
		if r := vaultRequest(t, vault, http.MethodPost, "/v1/sys/auth/"+method, fmt.Sprintf(`{"type":%q}`, method)); r.StatusCode != http.StatusNoContent {
			t.Errorf("enabling %s: %s", method, r.Status)
		}
	}
	log := f.runProbe(t, "vault-client", "get", vault.Address+"/v1/sys/health")
	if !strings.HasPrefix(log, "200 OK\n") || !strings.Contains(log, `"sealed":false`) {
		t.Errorf("got %q from a pod", log)
	}
}

func (f *fixture) apiServerRestart(t *testing.T) {
	if err := f.cluster.StopAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.client.Discovery().ServerVersion(); err == nil {
		t.Error("the API server answers after StopAPIServer")
	}
	if err := f.cluster.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	review, err := f.client.AuthenticationV1().TokenReviews().Create(t.Context(), &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: f.token, Audiences: []string{"lanyard"}},
	}, metav1.CreateOptions{})
	if err != nil || !review.Status.Authenticated {
		t.Errorf("got %+v, %v for a token from before", review, err)
	}
}

func (f *fixture) open(t *testing.T) {
	again, err := cluster.Open(t.Context(), cluster.Config{Name: f.cluster.Name()})
	if err != nil {
		t.Fatal(err)
	}
	if again.NodeIP() != f.cluster.NodeIP() || again.Kubeconfig() != f.cluster.Kubeconfig() {
		t.Errorf("got %s %s", again.NodeIP(), again.Kubeconfig())
	}
}

func (f *fixture) oldKubelet(t *testing.T) {
	if err := f.cluster.RestartKubelet(t.Context(), map[string]bool{"EnvFiles": false}); err != nil {
		t.Fatal(err)
	}
	f.create(t, envFilePod("old"))
	f.awaitRunning(t, "old")
	if env := decodeEnv(t, f.awaitLog(t, "old")); env["FROM_FILE"] != "" {
		t.Errorf("got FROM_FILE=%q with the gate off", env["FROM_FILE"])
	}
	if err := f.cluster.RestartKubelet(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	f.create(t, envFilePod("new"))
	f.awaitRunning(t, "new")
	if env := decodeEnv(t, f.awaitLog(t, "new")); env["FROM_FILE"] != "hello, world" {
		t.Errorf("got FROM_FILE=%q with the gate restored", env["FROM_FILE"])
	}
}

func decodeEnv(t *testing.T, log string) map[string]string {
	t.Helper()
	line, _, _ := strings.Cut(log, "\n")
	var encoded map[string]string
	if err := json.Unmarshal([]byte(line), &encoded); err != nil {
		t.Fatalf("decoding environment: %v in %q", err, log)
	}
	env := make(map[string]string, len(encoded))
	for name, text := range encoded {
		value, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatalf("decoding %s: %v", name, err)
		}
		env[name] = string(value)
	}
	return env
}
