// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestNoRenderingShowsAKey prints rings and keys every way Go offers, by value
// and by pointer, alone and inside other values, exported and not.
func TestNoRenderingShowsAKey(t *testing.T) {
	key := newTestKey(t)
	ring := newTestRing(t, key, newTestKey(t))
	// A used ring holds warm MAC states too.
	ring.SealRecord("k", "kind", nil)

	type hidden struct {
		ring  *Ring
		key   Key
		value Ring
	}
	type shown struct {
		Ring  *Ring
		Key   Key
		Value Ring
	}
	values := map[string]any{
		"ring": ring, "ring value": *ring, "key": key, "key pointer": &key,
		"unexported fields": hidden{ring, key, *ring}, "exported fields": shown{ring, key, *ring},
		"pointer to fields": &hidden{ring, key, *ring},
		"slice":             []any{ring, key}, "map": map[string]any{"a": ring, "b": key},
		"error": fmt.Errorf("ring %v: %w", ring, &UnknownKeyError{KID: key.KID()}),
	}
	const verbs = "vTtbcdoOqxXUeEfFgGspw"
	for name, v := range values {
		var out bytes.Buffer
		for _, verb := range verbs {
			for _, flags := range []string{"", "+", "#", " ", "-", "0", "200", ".3", "+#", "# "} {
				fmt.Fprintf(&out, "%"+flags+string(verb)+"\n", v)
			}
		}
		fmt.Fprintln(&out, v)
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("message", "value", v, slog.Group("group", "value", v))
		}
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
		assertNoKey(t, name, out.String(), key)
	}

	for name, got := range map[string]string{
		"Sprint ring":    fmt.Sprint(ring),
		"GoString ring":  ring.GoString(),
		"Sprintf %x key": fmt.Sprintf("%x", key),
		"String key":     key.String(),
		"GoString key":   key.GoString(),
		"LogValue key":   key.LogValue().String(),
		"ring as string": ring.String(),
	} {
		if got != redacted {
			t.Errorf("%s = %q, want %q", name, got, redacted)
		}
	}
	if b, err := json.Marshal(shown{ring, key, *ring}); err != nil || strings.Count(string(b), redacted) != 3 {
		t.Errorf("JSON = %s, %v", b, err)
	}
}

// assertNoKey looks for the KEK, what is derived from it for good, and any
// eight bytes of it, in the renderings Go has for bytes.
func assertNoKey(t *testing.T, name, out string, key Key) {
	t.Helper()
	macKey := expand(key.kek().prk, labelMAC, keySize)
	lower := strings.ToLower(out)
	for _, secret := range [][]byte{key.kek().secret[:], key.kek().prk, macKey} {
		part := secret[:8]
		renderings := []string{
			string(part), hex.EncodeToString(part), base64.StdEncoding.EncodeToString(secret),
			strings.Trim(fmt.Sprint(part), "[]"),                                         // 1 2 3
			strings.Trim(fmt.Sprintf("% x", part), "[]"),                                 // 01 02 03
			strings.TrimSuffix(strings.SplitN(fmt.Sprintf("%#v", part), "{", 2)[1], "}"), // 0x1, 0x2, 0x3
			strings.Trim(fmt.Sprintf("%o", part), "[]"),
			strings.Trim(fmt.Sprintf("%b", part), "[]"),
		}
		for _, r := range renderings {
			if strings.Contains(out, r) || strings.Contains(lower, strings.ToLower(r)) {
				t.Errorf("%s: a rendering shows key bytes", name)
			}
		}
	}
}
