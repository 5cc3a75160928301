// SPDX-License-Identifier: Apache-2.0

package redact_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/pkg/redact"
)

const canary = "cAnArY-5f1e"

type exported struct{ Value redact.Value }

type unexported struct{ value redact.Value }

type deep struct {
	inner  *unexported
	List   []redact.Value
	byName map[string]exported
}

func samples() map[string]any {
	v := redact.New([]byte(canary))
	return map[string]any{
		"bare":               v,
		"pointer":            &v,
		"exported field":     exported{v},
		"unexported field":   unexported{v},
		"pointer to a field": &unexported{v},
		"depth three":        deep{&unexported{v}, []redact.Value{v}, map[string]exported{"a": {v}}},
		"interface":          []any{v, exported{v}},
	}
}

func TestNothingPrintsAValue(t *testing.T) {
	for name, sample := range samples() {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T", "%U", "%e", "%20.3s"} {
				fmt.Fprintf(&out, verb+"\n", sample)
			}
			fmt.Fprintln(&out, sample, errors.New(fmt.Sprint(sample)))
			slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", sample)
			slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", sample)
			if b, err := json.Marshal(sample); err == nil {
				out.Write(b)
			}
			if b, err := xml.Marshal(sample); err == nil {
				out.Write(b)
			}
			_ = gob.NewEncoder(&out).Encode(sample)
			func() {
				defer func() { fmt.Fprint(&out, recover()) }()
				panic(sample)
			}()
			hexed := fmt.Sprintf("%x", canary)
			decimal := strings.Trim(fmt.Sprint([]byte(canary)), "[]")
			for _, form := range []string{canary, hexed, strings.ToUpper(hexed), decimal} {
				if strings.Contains(out.String(), form) {
					t.Errorf("printed in clear: %s", form)
				}
			}
		})
	}
}

func TestRevealAndWipe(t *testing.T) {
	v := redact.New([]byte(canary))
	if got := string(v.Reveal()); got != canary {
		t.Errorf("Reveal() = %q, want the bytes it was made from", got)
	}
	shared := v
	v.Wipe()
	if got := shared.Reveal(); !bytes.Equal(got, make([]byte, len(canary))) {
		t.Error("a copy kept its bytes after Wipe")
	}
	if got := (redact.Value{}).Reveal(); got != nil {
		t.Errorf("zero Value revealed %d bytes", len(got))
	}
	(redact.Value{}).Wipe()
}
