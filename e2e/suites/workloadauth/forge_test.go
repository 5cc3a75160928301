// SPDX-License-Identifier: Apache-2.0

package workloadauth

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// split returns the parts of a token.
func split(t *testing.T, token string) (head, claims, signature string) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("the API server issued a token of %d parts", len(parts))
	}
	return parts[0], parts[1], parts[2]
}

// edit changes the JSON of one part of a token.
func edit(t *testing.T, part string, change func(map[string]any)) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	object := map[string]any{}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	if err := decoder.Decode(&object); err != nil {
		t.Fatal(err)
	}
	change(object)
	if text, err = json.Marshal(object); err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func set(key string, value any) func(map[string]any) {
	return func(object map[string]any) { object[key] = value }
}

// signRSA signs with a key of the thief's own, under the API server's key id.
func signRSA(t *testing.T, head, claims string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(head + "." + claims))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return head + "." + claims + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func signHMAC(head, claims, key string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(head + "." + claims))
	return head + "." + claims + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
