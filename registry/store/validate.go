// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// Limits of what has no constant in object.go.
const (
	maxDisplayName   = 255
	maxRemotePath    = 1024
	maxRemoteKey     = 255
	maxRemoteVersion = 255
	maxPodNames      = 253 // of a service account, a DNS subdomain
)

// longestName stands for the name of an ENV where it is not known yet.
var longestName = strings.Repeat("X", ref.MaxEnvName)

func invalid(pointer, code, format string, args ...any) error {
	return &FieldError{Pointer: pointer, Code: code, Message: fmt.Sprintf(format, args...)}
}

func checkOrganization(o Organization) error {
	if err := ref.CheckSlug(o.Slug); err != nil {
		return nameError("/slug", o.Slug, err)
	}
	if err := checkQuotaFields(o.Quota); err != nil {
		return err
	}
	return checkText("/display_name", o.DisplayName, maxDisplayName)
}

// checkName refuses names of the form of an id too: lookups take either.
func checkName(name string) error {
	if err := ref.CheckName(name); err != nil {
		return nameError("/name", name, err)
	}
	if len(name) == 36 && uuid.Validate(name) == nil {
		return invalid("/name", "syntax", "a name must not have the form of an id (UUID)")
	}
	return nil
}

func nameError(pointer, name string, err error) error {
	switch {
	case name == "":
		return invalid(pointer, "required", "it is required")
	case len(name) > ref.MaxName, pointer == "/slug" && len(name) > ref.MaxSlug:
		return invalid(pointer, "too_long", "%v", err)
	}
	return invalid(pointer, "syntax", "%v", err)
}

func checkText(pointer, text string, limit int) error {
	switch {
	case len(text) > limit:
		return invalid(pointer, "too_long", "it may have %d bytes", limit)
	case !utf8.ValidString(text):
		return invalid(pointer, "encoding", "it is not valid UTF-8")
	}
	return nil
}

func required(pointer, text string, limit int) error {
	if text == "" {
		return invalid(pointer, "required", "it is required")
	}
	return checkText(pointer, text, limit)
}

// checkLabels checks the grammar of labels: keys of letters, digits, '.', '_', '-' and '/', beginning and ending with a letter or digit; values of any text
// without control characters.
func checkLabels(labels map[string]string) error {
	if len(labels) > MaxLabels {
		return invalid("/labels", "too_many", "there may be %d labels", MaxLabels)
	}
	for key, value := range labels {
		pointer := "/labels/" + pointerEscape.Replace(key)
		switch {
		case key == "":
			return invalid("/labels", "required", "a label's key is empty")
		case len(key) > MaxLabelKey:
			return invalid("/labels", "too_long", "a label's key may have %d bytes", MaxLabelKey)
		case !labelKey(key):
			return invalid("/labels", "syntax", "a label's key may hold letters, digits, '.', '_', '-' and '/', and begins and ends with a letter or digit")
		case len(value) > MaxLabelValue:
			return invalid(pointer, "too_long", "a label's value may have %d bytes", MaxLabelValue)
		case !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
			return invalid(pointer, "syntax", "a label's value may not hold control characters or bytes that are not UTF-8")
		}
	}
	return nil
}

var pointerEscape = strings.NewReplacer("~", "~0", "/", "~1")

func labelKey(key string) bool {
	alnum := func(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' }
	for i := range len(key) {
		if !alnum(key[i]) && !strings.ContainsRune("._-/", rune(key[i])) {
			return false
		}
	}
	return alnum(key[0]) && alnum(key[len(key)-1])
}

// checkSecret checks the fields of a secret that a caller can set.
func checkSecret(s Secret) error {
	return firstOf(
		func() error { return checkName(s.Name) },
		func() error { return checkText("/description", s.Description, MaxDescription) },
		func() error { return checkLabels(s.Labels) },
		func() error { return checkStorage(s.Storage, s.Remote) },
		func() error { return checkBindings("grant", MaxGrants, s.Grants) },
		func() error {
			if s.ExpiresAt != nil && (s.ExpiresAt.Year() < 2000 || s.ExpiresAt.Year() > 9999) {
				return invalid("/expires_at", "syntax", "it is not a time of our era")
			}
			return nil
		},
	)
}

func checkNewSecret(n NewSecret) error {
	return firstOf(
		func() error {
			return checkSecret(Secret{Name: n.Name, Description: n.Description, Labels: n.Labels, Storage: n.Storage, Remote: n.Remote, Grants: n.Grants, ExpiresAt: n.ExpiresAt})
		},
		func() error {
			switch {
			case n.Value == nil:
				return nil
			case n.Storage == StorageRemote:
				return invalid("/value", "forbidden", "a remote secret has no value here: only the reference is stored")
			}
			return checkValue(*n.Value)
		},
	)
}

// checkStorage checks that a local secret has no remote reference and a remote one has a whole one.
func checkStorage(storage Storage, remote *Remote) error {
	switch {
	case storage != StorageLocal && storage != StorageRemote:
		return invalid("/storage", "unknown", "it must be %q or %q", StorageLocal, StorageRemote)
	case storage == StorageLocal && remote != nil:
		return invalid("/provider_id", "forbidden", "a local secret has no remote reference; set storage to %q or leave out provider_id, remote_path and remote_key", StorageRemote)
	case storage == StorageLocal:
		return nil
	case remote == nil:
		return invalid("/provider_id", "required", "a remote secret needs provider_id and remote_path")
	}
	return firstOf(
		func() error { return required("/provider_id", remote.ProviderID, ref.MaxName) },
		func() error { return required("/remote_path", remote.Path, maxRemotePath) },
		func() error { return checkText("/remote_key", remote.Key, maxRemoteKey) },
		func() error { return checkText("/remote_version", remote.Version, maxRemoteVersion) },
		func() error {
			for pointer, text := range map[string]string{"/remote_path": remote.Path, "/remote_key": remote.Key, "/remote_version": remote.Version} {
				if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
					return invalid(pointer, "syntax", "it may not hold control characters")
				}
			}
			return nil
		},
	)
}

// checkValue checks the size of a secret's value. Any bytes are fine, and none is a value too.
func checkValue(value redact.Value) error {
	if len(value.Reveal()) > wire.MaxValueBytes {
		return invalid("/value", "too_long", "a value may have %d bytes", wire.MaxValueBytes)
	}
	return nil
}

// checkConsumer checks the fields of a consumer that a caller can set, all but the existence of what it refers to.
func checkConsumer(c Consumer) error {
	return firstOf(
		func() error { return checkName(c.Name) },
		func() error {
			if !slices.Contains([]ConsumerKind{ConsumerService, ConsumerAgent, ConsumerMCPServer, ConsumerHook}, c.Kind) {
				return invalid("/kind", "unknown", "it must be %q, %q, %q or %q", ConsumerService, ConsumerAgent, ConsumerMCPServer, ConsumerHook)
			}
			return nil
		},
		func() error { return checkText("/description", c.Description, MaxDescription) },
		func() error { return checkLabels(c.Labels) },
		func() error { return checkEnvs(c.Envs) },
		func() error { return checkBindings("binding", MaxBindings, c.Bindings) },
		func() error { return checkDeliveries(c.Deliveries) },
	)
}

func checkEnvs(envs []Env) error {
	if len(envs) > wire.MaxEnvs {
		return invalid("/envs", "too_many", "a consumer may have %d ENVs", wire.MaxEnvs)
	}
	seen := make(map[string]int, len(envs)) // :: name → position
	total := 0
	for i, e := range envs {
		at := func(field string) string { return fmt.Sprintf("/envs/%d/%s", i, field) }
		if err := ref.CheckEnvName(e.Name); err != nil {
			return invalid(at("name"), envNameCode(e.Name, err), "%v", err)
		}
		if first, dup := seen[e.Name]; dup {
			return invalid(at("name"), "duplicate", "ENV %s is there already, at position %d; names are unique in a consumer", e.Name, first)
		}
		seen[e.Name] = i
		switch {
		case e.Value == nil && e.SecretID == "":
			return invalid(at("value"), "required", "ENV %s needs a value or a secret", e.Name)
		case e.Value != nil && e.SecretID != "":
			return invalid(at("value"), "forbidden", "ENV %s has both a value and a secret; keep one", e.Name)
		case e.SecretID != "":
			continue
		case e.Version != 0:
			return invalid(at("version"), "forbidden", "ENV %s has a plain value, which has no versions", e.Name)
		case len(*e.Value) > MaxPlainValue:
			return invalid(at("value"), "too_long", "a plain value may have %d bytes", MaxPlainValue)
		case !utf8.ValidString(*e.Value):
			return invalid(at("value"), "encoding", "a plain value must be valid UTF-8; store other bytes as a secret")
		}
		// Counted as the record holds them: a control character takes six bytes there, and etcd takes records of 1.5 MiB.
		encoded, err := json.Marshal(*e.Value)
		if err != nil {
			return err
		}
		if total += len(encoded) - len(`""`); total > MaxConsumerBytes {
			return invalid(at("value"), "too_long", "the plain values of a consumer may have %d bytes together, as JSON", MaxConsumerBytes)
		}
	}
	return nil
}

func envNameCode(name string, err error) string {
	switch {
	case name == "":
		return "required"
	case len(name) > ref.MaxEnvName:
		return "too_long"
	case strings.Contains(err.Error(), "is reserved"):
		return "reserved"
	}
	return "syntax"
}

// checkBindings checks the bindings of a consumer or the grants of a secret; what is the singular word for them.
func checkBindings(what string, limit int, bindings []Binding) error {
	if len(bindings) > limit {
		return invalid("/"+what+"s", "too_many", "there may be %d %ss", limit, what)
	}
	for i, b := range bindings {
		at := func(field string) string { return fmt.Sprintf("/%ss/%d/%s", what, i, field) }
		switch {
		case !dnsName(b.Cluster, ref.MaxSlug, false):
			return invalid(at("cluster"), "syntax", "it must be a DNS label: a-z, 0-9 and '-', 1 to %d bytes", ref.MaxSlug)
		case !dnsName(b.Namespace, ref.MaxSlug, false):
			return invalid(at("namespace"), "syntax", "it must be the name of one namespace; there are no patterns")
		case !dnsName(b.ServiceAccount, maxPodNames, true):
			return invalid(at("service_account"), "syntax", "it must be the name of one service account; there are no patterns")
		}
		if first := slices.Index(bindings, b); first < i {
			return invalid(fmt.Sprintf("/%ss/%d", what, i), "duplicate", "the %s is there already, at position %d", what, first)
		}
	}
	return nil
}

func checkDeliveries(deliveries []wire.Delivery) error {
	for i, d := range deliveries {
		pointer := fmt.Sprintf("/deliveries/%d", i)
		switch {
		case !slices.Contains(wire.Deliveries, d):
			return invalid(pointer, "unknown", "it must be one of %q", wire.Deliveries)
		case slices.Contains(deliveries[:i], d):
			return invalid(pointer, "duplicate", "the delivery is there already")
		}
	}
	return nil
}

// dnsName reports whether text is a DNS label, or labels joined by dots if dots is set.
func dnsName(text string, limit int, dots bool) bool {
	if len(text) > limit {
		return false
	}
	labels := []string{text}
	if dots {
		labels = strings.Split(text, ".")
	}
	for _, label := range labels {
		if len(label) > 253 || label == "" || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(r rune) bool { return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-') }) {
			return false
		}
	}
	return true
}

// firstOf returns the first error of the checks, in order.
func firstOf(checks ...func() error) error {
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}
