// SPDX-License-Identifier: Apache-2.0

package authntest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Token describes a service account token. Zero fields are filled as TokenRequest would.
type Token struct {
	Namespace, Account string
	Pod                string // what it is bound to; at most one of the three
	Secret, Node       string
	Audiences          []string // "lanyard" if nil
	NotBefore          time.Time
	Expires            time.Time         // an hour from now if zero
	Algorithm          string            // of the header; it is signed with ES256 in any case
	Key                *ecdsa.PrivateKey // the cluster's if nil
	Change             func(claims map[string]any)
}

type private struct {
	Namespace string  `json:"namespace"`
	Account   *object `json:"serviceaccount"`
	Pod       *object `json:"pod,omitempty"`
	Secret    *object `json:"secret,omitempty"`
	Node      *object `json:"node,omitempty"`
}

type object struct {
	Name string    `json:"name"`
	UID  types.UID `json:"uid,omitempty"`
}

// Sign issues a token. The objects it names must exist.
func (c *Cluster) Sign(t Token) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if t.Audiences == nil {
		t.Audiences = []string{"lanyard"}
	}
	if t.Expires.IsZero() {
		t.Expires = now.Add(time.Hour)
	}
	if t.NotBefore.IsZero() {
		t.NotBefore = now
	}
	if t.Algorithm == "" {
		t.Algorithm = "ES256"
	}
	if t.Key == nil {
		t.Key = c.key
	}
	bound := private{Namespace: t.Namespace, Account: &object{t.Account, c.accounts[types.NamespacedName{Namespace: t.Namespace, Name: t.Account}]}}
	switch {
	case t.Pod != "":
		pod := c.pods[types.NamespacedName{Namespace: t.Namespace, Name: t.Pod}]
		bound.Pod = &object{pod.Name, pod.UID}
		bound.Node = &object{Name: pod.Spec.NodeName}
	case t.Secret != "":
		bound.Secret = &object{t.Secret, newUID()}
	case t.Node != "":
		bound.Node = &object{t.Node, c.nodes[t.Node].UID}
	}
	claims := map[string]any{
		"iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:" + t.Namespace + ":" + t.Account, "aud": t.Audiences,
		"exp": t.Expires.Unix(), "iat": t.NotBefore.Unix(), "nbf": t.NotBefore.Unix(), "jti": uuid.NewString(), "kubernetes.io": bound,
	}
	if t.Change != nil {
		t.Change(claims)
	}
	signed := part(map[string]string{"alg": t.Algorithm, "kid": "test"}) + "." + part(claims)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, t.Key, digest[:])
	if err != nil {
		panic(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func part(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// leeway is how long after its deletion timestamp an object still vouches for a token: jwt.DefaultLeeway.
const leeway = time.Minute

// review answers as the API server's authenticator for service accounts does.
func (c *Cluster) review(spec authenticationv1.TokenReviewSpec) authenticationv1.TokenReviewStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	if lie, ok := c.answers[spec.Token]; ok {
		return lie
	}
	refused := authenticationv1.TokenReviewStatus{Error: "invalid bearer token"}
	parts := strings.Split(spec.Token, ".")
	if len(parts) != 3 || !c.verify(parts) {
		return refused
	}
	var claims struct {
		Subject   string   `json:"sub"`
		Audiences []string `json:"aud"`
		Expires   int64    `json:"exp"`
		NotBefore int64    `json:"nbf"`
		ID        string   `json:"jti"`
		Private   private  `json:"kubernetes.io"`
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(text, &claims) != nil {
		return refused
	}
	now := time.Now()
	if claims.Expires < now.Unix() || claims.NotBefore > now.Unix() {
		return refused
	}
	status := authenticationv1.TokenReviewStatus{Authenticated: true}
	for _, a := range spec.Audiences {
		if slices.Contains(claims.Audiences, a) {
			status.Audiences = append(status.Audiences, a)
		}
	}
	p := claims.Private
	if len(status.Audiences) == 0 || p.Account == nil || c.accounts[types.NamespacedName{Namespace: p.Namespace, Name: p.Account.Name}] != p.Account.UID {
		return refused
	}
	status.User.Username = "system:serviceaccount:" + p.Namespace + ":" + p.Account.Name
	status.User.UID = string(p.Account.UID)
	status.User.Extra = map[string]authenticationv1.ExtraValue{"authentication.kubernetes.io/credential-id": {"JTI=" + claims.ID}}
	if p.Pod != nil {
		pod := c.pods[types.NamespacedName{Namespace: p.Namespace, Name: p.Pod.Name}]
		if pod == nil || pod.UID != p.Pod.UID || pod.DeletionTimestamp != nil && pod.DeletionTimestamp.Add(leeway).Before(now) {
			return refused
		}
		status.User.Extra["authentication.kubernetes.io/pod-name"] = authenticationv1.ExtraValue{p.Pod.Name}
		status.User.Extra["authentication.kubernetes.io/pod-uid"] = authenticationv1.ExtraValue{string(p.Pod.UID)}
	}
	if p.Node != nil {
		status.User.Extra["authentication.kubernetes.io/node-name"] = authenticationv1.ExtraValue{p.Node.Name}
	}
	return status
}

func (c *Cluster) verify(parts []string) bool {
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(signature) != 64 {
		return false
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	return ecdsa.Verify(&c.key.PublicKey, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
}
