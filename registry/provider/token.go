// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/lanyard-dev/lanyard/pkg/redact"
)

const maxToken = 16 << 10 // tokens of Kubernetes have about 1.2 KiB

// TokenFile returns a [Host.ServiceAccountToken] that reads a projected service account token of one audience. The file is read each time, because the kubelet replaces it.
//
// It hands out nothing for another audience, and nothing if the token in the file has any other, such as that of the API server: what is sent to a provider must be useless everywhere else.
func TokenFile(path, audience string) func(context.Context, string) (redact.Value, error) {
	return func(_ context.Context, want string) (redact.Value, error) {
		if want != audience {
			return redact.Value{}, fmt.Errorf("the registry has service account tokens for audience %q only", audience)
		}
		f, err := os.Open(path)
		if err != nil {
			return redact.Value{}, fmt.Errorf("opening the service account token: %w", err)
		}
		defer f.Close()
		token, err := io.ReadAll(io.LimitReader(f, maxToken+1))
		if err != nil {
			return redact.Value{}, fmt.Errorf("reading the service account token: %w", err)
		}
		token = bytes.TrimSpace(token)
		if len(token) > maxToken || !onlyFor(token, audience) {
			return redact.Value{}, errors.New("the service account token is not one for that audience alone")
		}
		return redact.New(token), nil
	}
}

// onlyFor reads the audiences of a token. Whether it is genuine is for its receiver to find out.
func onlyFor(token []byte, audience string) bool {
	parts := strings.Split(string(token), ".")
	if len(parts) != 3 {
		return false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return false
	}
	var many struct {
		Audience []string `json:"aud"`
	}
	if json.Unmarshal(payload, &many) == nil {
		return len(many.Audience) == 1 && many.Audience[0] == audience
	}
	var one struct {
		Audience string `json:"aud"`
	}
	return json.Unmarshal(payload, &one) == nil && one.Audience == audience
}
