// SPDX-License-Identifier: Apache-2.0

package authntest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/authn"
)

// Namespace, Account and Node are where the pods of [Good] and [Hostile] live.
const (
	Namespace = "billing"
	Account   = "api"
	Node      = "node-1"
)

// Good creates a pod of the given name with everything around it and returns its token, which must be accepted.
func Good(c *Cluster, pod string) string {
	c.mu.Lock()
	_, exists := c.accounts[types.NamespacedName{Namespace: Namespace, Name: Account}]
	c.mu.Unlock()
	if !exists {
		c.AddAccount(Namespace, Account)
		c.AddNode(Node, "v1.37.2", "containerd://2.4.2")
	}
	c.AddPod(Namespace, pod, Account, Node)
	return c.Sign(Token{Namespace: Namespace, Account: Account, Pod: pod})
}

// HostileToken is a token that must be refused.
type HostileToken struct {
	Name   string // a sentence
	Token  string
	Code   wire.Code
	Reason authn.Reason
}

// Hostile creates one token of every kind that must be refused, and in the cluster what makes it so.
func Hostile(c *Cluster) []HostileToken {
	good := Good(c, "good")
	head, rest, _ := strings.Cut(good, ".")
	body, signature, _ := strings.Cut(rest, ".")
	foreign, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}

	var all []HostileToken
	add := func(name, token string, reason authn.Reason) {
		all = append(all, HostileToken{name, token, wire.CodeUnauthenticated, reason})
	}
	// signed adds a token that is good but for one thing.
	signed := func(name string, reason authn.Reason, change func(*Token)) {
		t := Token{Namespace: Namespace, Account: Account, Pod: "good"}
		change(&t)
		add(name, c.Sign(t), reason)
	}
	claim := func(name string, reason authn.Reason, key string, value any) {
		signed(name, reason, func(t *Token) { t.Change = func(claims map[string]any) { claims[key] = value } })
	}
	// pod adds the token of a pod of its own, to which something happens afterwards.
	pod := func(name string, reason authn.Reason, change func(pod string)) {
		id := strings.ReplaceAll(name, " ", "-")
		token := Good(c, id)
		change(id)
		add(name, token, reason)
	}
	// lie adds a good token about which the API server says something odd.
	lie := func(name string, reason authn.Reason, change func(*authenticationv1.TokenReviewStatus)) {
		token := Good(c, strings.ReplaceAll(name, " ", "-"))
		status := c.review(authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{"lanyard"}})
		change(&status)
		c.Lie(token, status)
		add(name, token, reason)
	}

	add("no token at all", "", authn.TokenMalformed)
	add("an opaque bearer token", "abcdef.0123456789abcdef", authn.TokenMalformed)
	add("a token of one part", head, authn.TokenMalformed)
	add("a token of four parts", good+"."+signature, authn.TokenMalformed)
	add("an empty signature", head+"."+body+".", authn.TokenMalformed)
	add("a header that is not JSON", part("x")[:3]+"."+body+"."+signature, authn.TokenMalformed)
	add("claims that are not an object", head+"."+part([]string{"x"})+"."+signature, authn.TokenMalformed)
	add("padding", head+"."+body+"=."+signature, authn.TokenMalformed)
	all = append(all, HostileToken{"a token over the limit", good + strings.Repeat("A", wire.MaxTokenBytes), wire.CodeTooLarge, authn.TokenTooLong})
	signed("the algorithm none", authn.TokenAlgorithm, func(t *Token) { t.Algorithm = "none" })
	signed("a symmetric algorithm", authn.TokenAlgorithm, func(t *Token) { t.Algorithm = "HS256" })
	signed("another audience", authn.TokenAudience, func(t *Token) { t.Audiences = []string{"vault"} })
	signed("the API server's audience", authn.TokenAudience, func(t *Token) { t.Audiences = []string{"https://kubernetes.default.svc"} })
	signed("our audience and another", authn.TokenAudience, func(t *Token) { t.Audiences = []string{"lanyard", "https://kubernetes.default.svc"} })
	signed("no audience", authn.TokenAudience, func(t *Token) { t.Audiences = []string{} })
	claim("an audience that is a number", authn.TokenMalformed, "aud", 7)
	signed("an expired token", authn.TokenExpired, func(t *Token) { t.Expires = time.Now().Add(-time.Minute) })
	signed("a token that has just expired", authn.ReviewRefused, func(t *Token) { t.Expires = time.Now().Add(-5 * time.Second) })
	signed("a token that is not valid yet", authn.TokenNotYetValid, func(t *Token) { t.NotBefore = time.Now().Add(10 * time.Minute) })
	claim("a token that never expires", authn.TokenMalformed, "exp", nil)
	claim("an expiry that is text", authn.TokenMalformed, "exp", "tomorrow")
	claim("a subject that is a user", authn.TokenSubject, "sub", "kubernetes-admin")
	signed("a signature by another key", authn.ReviewRefused, func(t *Token) { t.Key = foreign })
	other := Good(c, "other")
	add("the signature of another token", head+"."+body+other[strings.LastIndexByte(other, '.'):], authn.ReviewRefused)
	signed("a token bound to nothing", authn.ReviewUnbound, func(t *Token) { t.Pod = "" })
	signed("a token bound to a secret", authn.ReviewUnbound, func(t *Token) { t.Pod, t.Secret = "", "s" })
	signed("a token bound to a node", authn.ReviewUnbound, func(t *Token) { t.Pod, t.Node = "", Node })

	c.AddAccount(Namespace, "fired")
	c.AddPod(Namespace, "fired", "fired", Node)
	fired := c.Sign(Token{Namespace: Namespace, Account: "fired", Pod: "fired"})
	c.DeleteAccount(Namespace, "fired")
	add("a deleted service account", fired, authn.ReviewRefused)
	c.AddAccount(Namespace, "rehired")
	c.AddPod(Namespace, "rehired", "rehired", Node)
	rehired := c.Sign(Token{Namespace: Namespace, Account: "rehired", Pod: "rehired"})
	c.AddAccount(Namespace, "rehired")
	add("a service account that was deleted and created again", rehired, authn.ReviewRefused)

	pod("a deleted pod", authn.ReviewRefused, func(name string) { c.DeletePod(Namespace, name) })
	pod("a pod that was deleted and created again", authn.ReviewRefused, func(name string) { c.AddPod(Namespace, name, Account, Node) })
	pod("a pod of another service account", authn.PodServiceAccount, func(name string) {
		c.ChangePod(Namespace, name, func(p *corev1.Pod) { p.Spec.ServiceAccountName = "other" })
	})
	pod("a pod on another node", authn.PodNode, func(name string) {
		c.ChangePod(Namespace, name, func(p *corev1.Pod) { p.Spec.NodeName = "node-2" })
	})
	pod("a terminating pod", authn.PodTerminating, func(name string) {
		c.ChangePod(Namespace, name, func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Now().Add(time.Minute)} })
	})
	all[len(all)-1].Code = wire.CodePodNotEligible
	pod("a finished pod", authn.PodFinished, func(name string) {
		c.ChangePod(Namespace, name, func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })
	})
	all[len(all)-1].Code = wire.CodePodNotEligible

	// The API server's own cache accepts a token for ten seconds after its pod is gone.
	lie("a deleted pod whose review was cached", authn.PodGone, func(*authenticationv1.TokenReviewStatus) {
		c.DeletePod(Namespace, "a-deleted-pod-whose-review-was-cached")
	})
	lie("a recreated pod whose review was cached", authn.PodReplaced, func(*authenticationv1.TokenReviewStatus) {
		c.AddPod(Namespace, "a-recreated-pod-whose-review-was-cached", Account, Node)
	})
	lie("a review without our audience", authn.ReviewAudience, func(s *authenticationv1.TokenReviewStatus) { s.Audiences = nil })
	lie("a review for another audience", authn.ReviewAudience, func(s *authenticationv1.TokenReviewStatus) { s.Audiences = []string{"vault"} })
	lie("a review that authenticates with an error", authn.ReviewRefused, func(s *authenticationv1.TokenReviewStatus) { s.Error = "half a failure" })
	lie("a review that names a user", authn.ReviewUsername, func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "kubernetes-admin" })
	lie("a username of three parts", authn.ReviewUsername, func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "system:serviceaccount:billing" })
	lie("a username of five parts", authn.ReviewUsername, func(s *authenticationv1.TokenReviewStatus) { s.User.Username += ":admin" })
	lie("a username without a namespace", authn.ReviewUsername, func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "system:serviceaccount::api" })
	for _, key := range []string{"pod-name", "pod-uid", "node-name", "credential-id"} {
		full := "authentication.kubernetes.io/" + key
		lie("a review without "+key, authn.ReviewUnbound, func(s *authenticationv1.TokenReviewStatus) { delete(s.User.Extra, full) })
		lie("a review with two values of "+key, authn.ReviewUnbound, func(s *authenticationv1.TokenReviewStatus) {
			s.User.Extra[full] = append(s.User.Extra[full], "x")
		})
	}
	return all
}
