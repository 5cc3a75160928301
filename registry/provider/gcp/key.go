// SPDX-License-Identifier: Apache-2.0

package gcp

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/lanyard-dev/lanyard/registry/provider"
)

// key signs for a service account.
type key struct {
	email string
	id    string
	rsa   *rsa.PrivateKey
}

// parseKey reads a key file. Its error quotes nothing of it.
func parseKey(file []byte) (*key, error) {
	var fields struct {
		Type         string `json:"type"`
		ClientEmail  string `json:"client_email"`
		PrivateKeyID string `json:"private_key_id"`
		PrivateKey   string `json:"private_key"`
	}
	if len(file) == 0 || provider.DecodeJSON(file, &fields) != nil || fields.Type != "service_account" || !account.MatchString(fields.ClientEmail) {
		return nil, errors.New("required, the JSON object of a key file of type service_account")
	}
	block, _ := pem.Decode([]byte(fields.PrivateKey))
	if block == nil {
		return nil, errors.New("its private_key is not PEM")
	}
	defer clear(block.Bytes)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok || private.N.BitLen() < 2048 {
		return nil, errors.New("its private_key is not an RSA key of 2048 bits or more in PKCS #8")
	}
	return &key{email: fields.ClientEmail, id: fields.PrivateKeyID, rsa: private}, nil
}

// assertion returns a JWT (RFC 7523) that asks audience for a token of the scope.
func (k *key) assertion(audience, scope string, now time.Time) (string, error) {
	header, err := json.Marshal(map[string]string{"alg": "RS256", "typ": "JWT", "kid": k.id})
	if err != nil {
		return "", fmt.Errorf("encoding header: %w", err)
	}
	// A minute earlier, for clocks that differ; an hour is the longest Google accepts.
	claims, err := json.Marshal(map[string]any{"iss": k.email, "scope": scope, "aud": audience, "iat": now.Add(-time.Minute).Unix(), "exp": now.Add(50 * time.Minute).Unix()})
	if err != nil {
		return "", fmt.Errorf("encoding claims: %w", err)
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, k.rsa, crypto.SHA256, digest[:])
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
