// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
)

// A page token is base64url(tag ‖ last), last being where the page ended and tag a MAC over that and over the whole query but its After and Limit. So a token
// continues only the list it came from, and its content is nobody's interface. A new primary key ends the tokens there are.

const tagSize = 16

func (s *Store) token(last, kind, scope string, query any) string {
	return base64.RawURLEncoding.EncodeToString(append(s.tokenTag(last, kind, scope, query), last...))
}

// openToken returns where the page before ended, "" if there was none.
func (s *Store) openToken(token, kind, scope string, query any) (string, error) {
	if token == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) <= tagSize {
		return "", errToken()
	}
	last := string(raw[tagSize:])
	if !hmac.Equal(raw[:tagSize], s.tokenTag(last, kind, scope, query)) {
		return "", errToken()
	}
	return last, nil
}

func errToken() error {
	return invalid("/page_token", "unknown", "it does not belong to this list and these filters, or is too old; begin again without it")
}

func (s *Store) tokenTag(last, kind, scope string, query any) []byte {
	switch q := query.(type) {
	case Query:
		q.After, q.Limit = "", 0
		query = q
	case AuditQuery:
		q.After, q.Limit = "", 0
		query = q
	case WorkloadQuery:
		q.After, q.Limit = "", 0
		query = q
	}
	var message bytes.Buffer
	_ = json.NewEncoder(&message).Encode([]any{kind, scope, query, last}) // plain data: cannot fail, maps are sorted
	key := s.keys.Derive("page token")
	mac := hmac.New(sha256.New, key[:])
	mac.Write(message.Bytes())
	return mac.Sum(nil)[:tagSize]
}
