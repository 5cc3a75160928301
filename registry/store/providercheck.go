// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/lanyard-dev/lanyard/pkg/redact"
)

// checkProvider brings the configuration into its canonical form and checks what a caller can set.
func (s *Store) checkProvider(p *Provider, credentials *redact.Value) error {
	var secret redact.Value
	if credentials != nil {
		secret = *credentials
	}
	return firstOf(
		func() error { return checkName(p.Name) },
		func() error { return required("/type", p.Type, MaxProviderType) },
		func() (err error) { p.Config, err = canonical(p.Config); return err },
		func() error { return checkPrefixes(p.AllowedPrefixes) },
		func() error { return checkLastKnownGood(p.LastKnownGood) },
		func() error { return checkCredentials(secret) },
		func() error {
			if s.config.Providers == nil {
				return nil
			}
			return s.config.Providers.CheckProvider(*p, secret)
		},
	)
}

// canonical returns a JSON object with its keys in order and without space, so that equal configurations are equal.
func canonical(config json.RawMessage) (json.RawMessage, error) {
	if len(config) > 2*MaxConfigBytes {
		return nil, invalid("/config", "too_long", "it may have %d bytes", MaxConfigBytes)
	}
	decoder := json.NewDecoder(bytes.NewReader(config))
	decoder.UseNumber() // a number stays as it was written
	var object map[string]any
	if err := decoder.Decode(&object); err != nil || object == nil || decoder.More() {
		return nil, invalid("/config", "type", "it must be an object")
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(object); err != nil {
		return nil, fmt.Errorf("encoding config: %w", err)
	}
	if out.Len() > MaxConfigBytes {
		return nil, invalid("/config", "too_long", "it may have %d bytes", MaxConfigBytes)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

func checkPrefixes(prefixes []string) error {
	if len(prefixes) > MaxPrefixes {
		return invalid("/allowed_prefixes", "too_many", "there may be %d prefixes", MaxPrefixes)
	}
	for i, prefix := range prefixes {
		pointer := fmt.Sprintf("/allowed_prefixes/%d", i)
		if err := required(pointer, prefix, MaxPrefix); err != nil {
			return err
		}
		if strings.ContainsFunc(prefix, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return invalid(pointer, "syntax", "it may not hold control characters")
		}
	}
	return nil
}

func checkLastKnownGood(l *LastKnownGood) error {
	if l != nil && (l.MaximumAge < MinLastKnownGood || l.MaximumAge > MaxLastKnownGood) {
		return invalid("/last_known_good/maximum_age", "range", "it must be from %s to %s", MinLastKnownGood, MaxLastKnownGood)
	}
	return nil
}

// checkCredentials tells nothing of what it checks.
func checkCredentials(credentials redact.Value) error {
	raw := credentials.Reveal()
	switch {
	case len(raw) == 0:
		return nil
	case len(raw) > MaxCredentials:
		return invalid("/credentials", "too_long", "they may have %d bytes", MaxCredentials)
	case !json.Valid(raw) || bytes.TrimLeft(raw, " \t\r\n")[0] != '{':
		return invalid("/credentials", "type", "it must be an object")
	}
	return nil
}
