// SPDX-License-Identifier: Apache-2.0

package workloadauth

import (
	"net/http"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestHostileTokensAreRefusedAlike sends one token of every kind that must be
// refused. All but the ones of dying pods get the very same answer.
func TestHostileTokensAreRefusedAlike(t *testing.T) {
	s := newSuite(t)
	good := s.podToken(t, "good", nil)
	s.authenticated(t, good)
	head, claims, signature := split(t, good)
	_, _, otherSignature := split(t, s.podToken(t, "other", nil))

	cases := map[string]func(t *testing.T) string{ // :: sentence → makes the token
		"no token at all":              func(*testing.T) string { return "" },
		"an opaque bearer token":       func(*testing.T) string { return "abcdef.0123456789abcdef" },
		"a token of one part":          func(*testing.T) string { return head },
		"a token of two parts":         func(*testing.T) string { return head + "." + claims },
		"a token of four parts":        func(*testing.T) string { return good + "." + signature },
		"a token with padding":         func(*testing.T) string { return head + "." + claims + "=." + signature },
		"a token without a signature":  func(*testing.T) string { return head + "." + claims + "." },
		"the signature of another pod": func(*testing.T) string { return head + "." + claims + "." + otherSignature },
		"the algorithm none": func(t *testing.T) string {
			return edit(t, head, set("alg", "none")) + "." + claims + "." + signature
		},
		"an algorithm the API server never uses": func(t *testing.T) string {
			return edit(t, head, set("alg", "PS256")) + "." + claims + "." + signature
		},
		"a symmetric signature": func(t *testing.T) string {
			return signHMAC(edit(t, head, set("alg", "HS256")), claims, "lanyard")
		},
		"a signature by another key under the same key id": func(t *testing.T) string { return signRSA(t, head, claims) },
		"a signature by another key under an unknown key id": func(t *testing.T) string {
			return signRSA(t, edit(t, head, set("kid", "x")), claims)
		},
		"another subject under the old signature": func(t *testing.T) string {
			return head + "." + edit(t, claims, set("sub", "system:serviceaccount:kube-system:default")) + "." + signature
		},
		"a later expiry under the old signature": func(t *testing.T) string {
			return head + "." + edit(t, claims, set("exp", 4102444800)) + "." + signature
		},
		"an expired token of another key": func(t *testing.T) string {
			return signRSA(t, head, edit(t, claims, set("exp", 1)))
		},
		"a token that never expires": func(t *testing.T) string {
			return signRSA(t, head, edit(t, claims, func(c map[string]any) { delete(c, "exp") }))
		},
		"another audience": func(t *testing.T) string { return s.token(t, account, toPod("good"), "vault") },
		"our audience in another case": func(t *testing.T) string {
			return s.token(t, account, toPod("good"), strings.ToUpper(s.audience))
		},
		"the API server's own audience": func(t *testing.T) string { return s.token(t, account, toPod("good")) },
		"our audience and another":      func(t *testing.T) string { return s.token(t, account, toPod("good"), s.audience, "vault") },
		"our audience and the API server's": func(t *testing.T) string {
			return s.token(t, account, toPod("good"), "https://kubernetes.default.svc", s.audience)
		},
		"a token bound to nothing": func(t *testing.T) string { return s.token(t, account, nil, s.audience) },
		"a token bound to a secret": func(t *testing.T) string {
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "bound"}}
			if _, err := s.client.CoreV1().Secrets(s.namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			return s.token(t, account, &authenticationv1.BoundObjectReference{Kind: "Secret", APIVersion: "v1", Name: "bound"}, s.audience)
		},
		"a token bound to a node": func(t *testing.T) string {
			return s.token(t, account, &authenticationv1.BoundObjectReference{Kind: "Node", APIVersion: "v1", Name: node}, s.audience)
		},
		"a pod that no node has": func(t *testing.T) string {
			return s.podToken(t, "unscheduled", func(p *corev1.Pod) {
				p.Spec.NodeName, p.Spec.SchedulerName = "", "nobody"
			})
		},
		"a deleted pod": func(t *testing.T) string {
			token := s.podToken(t, "deleted", nil)
			s.deletePod(t, "deleted")
			return token
		},
		// The API server's cache still knows the token for ten seconds.
		"a deleted pod that was just authenticated": func(t *testing.T) string {
			token := s.podToken(t, "cached", nil)
			s.authenticated(t, token)
			s.deletePod(t, "cached")
			return token
		},
		"a pod that was deleted and created again": func(t *testing.T) string {
			token := s.podToken(t, "recreated", nil)
			s.authenticated(t, token)
			s.deletePod(t, "recreated")
			s.addPod(t, "recreated", nil)
			return token
		},
	}
	if len(cases) < 25 {
		t.Fatalf("only %d kinds of tokens", len(cases))
	}
	want := answer{}
	for name, token := range cases {
		t.Run(name, func(t *testing.T) {
			got := s.resolve(t, token(t))
			if got.status != http.StatusUnauthorized || got.code != "unauthenticated" {
				t.Fatalf("status %d: %s", got.status, got.body)
			}
			if want == (answer{}) {
				want = got
			}
			if got != want {
				t.Errorf("answer %q differs from %q", got.body, want.body)
			}
		})
	}
	s.authenticated(t, good) // and a good one is still good
}

func TestATokenOverTheLimitIsRefusedUnread(t *testing.T) {
	s := newSuite(t)
	got := s.resolve(t, s.podToken(t, "good", nil)+strings.Repeat("A", 8<<10))
	if got.status != http.StatusRequestEntityTooLarge || got.code != "request_too_large" {
		t.Errorf("status %d: %s", got.status, got.body)
	}
}

func TestADyingPodIsNotEligible(t *testing.T) {
	s := newSuite(t)
	t.Run("a pod that is being deleted", func(t *testing.T) {
		token := s.podToken(t, "terminating", nil)
		s.authenticated(t, token)
		grace := int64(600) // nobody ends it: no kubelet runs it
		if err := s.client.CoreV1().Pods(s.namespace).Delete(t.Context(), "terminating", metav1.DeleteOptions{GracePeriodSeconds: &grace}); err != nil {
			t.Fatal(err)
		}
		if got := s.resolve(t, token); got.status != http.StatusConflict || got.code != "pod_not_eligible" {
			t.Errorf("status %d: %s", got.status, got.body)
		}
		s.deletePod(t, "terminating")
	})
	for _, phase := range []corev1.PodPhase{corev1.PodSucceeded, corev1.PodFailed} {
		t.Run("a pod that has "+strings.ToLower(string(phase)), func(t *testing.T) {
			name := strings.ToLower(string(phase))
			token := s.podToken(t, name, nil)
			pod, err := s.client.CoreV1().Pods(s.namespace).Get(t.Context(), name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			pod.Status.Phase = phase
			if _, err := s.client.CoreV1().Pods(s.namespace).UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			if got := s.resolve(t, token); got.status != http.StatusConflict || got.code != "pod_not_eligible" {
				t.Errorf("status %d: %s", got.status, got.body)
			}
		})
	}
}

// TestADeletedServiceAccountEndsItsTokens allows what the API server needs to
// notice: it looks service accounts up in a cache, and remembers tokens it
// accepted for ten seconds. Pods are looked up live, accounts are not; who wants
// an account's access to end at once removes the binding.
func TestADeletedServiceAccountEndsItsTokens(t *testing.T) {
	s := newSuite(t)
	for name, change := range map[string]func(name string){
		"fired":   func(string) {},
		"rehired": func(name string) { s.addAccount(t, name) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.addAccount(t, name)
			s.addPod(t, name, func(p *corev1.Pod) { p.Spec.ServiceAccountName = name })
			token := s.token(t, name, toPod(name), s.audience)
			s.authenticated(t, token)
			s.deleteAccount(t, name)
			change(name)
			deadline := time.Now().Add(15 * time.Second)
			for {
				got := s.resolve(t, token)
				if got.code == "unauthenticated" {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("after 15 seconds: status %d: %s", got.status, got.body)
				}
				time.Sleep(200 * time.Millisecond) // a process boundary
			}
		})
	}
}

// TestNodesThatCannotReadEnvfiles sends pods of nodes with old kubelets.
func TestNodesThatCannotReadEnvfiles(t *testing.T) {
	s := newSuite(t)
	for name, kubelet := range map[string]string{"an older kubelet": "v1.34.9", "a kubelet without a version": ""} {
		t.Run(name, func(t *testing.T) {
			n, err := s.client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{GenerateName: node + "-"}, Spec: corev1.NodeSpec{Unschedulable: true}}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.client.CoreV1().Nodes().Delete(t.Context(), n.Name, metav1.DeleteOptions{}); err != nil {
					t.Error(err)
				}
			}()
			n.Status.NodeInfo.KubeletVersion = kubelet
			if n, err = s.client.CoreV1().Nodes().UpdateStatus(t.Context(), n, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			token := s.podToken(t, n.Name, func(p *corev1.Pod) { p.Spec.NodeName = n.Name })
			if got := s.resolve(t, token); got.status != http.StatusConflict || got.code != "node_unsupported" {
				t.Errorf("status %d: %s", got.status, got.body)
			}
		})
	}
}
