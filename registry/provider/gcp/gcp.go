// SPDX-License-Identifier: Apache-2.0

package gcp

import (
	"context"
	"encoding/json"
	"hash/crc32"
	"net/http"
	"net/url"
	"strconv"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/bearer"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// Name is the name of the type.
const Name = "gcp_secret_manager"

// Type is Google Cloud Secret Manager as a type of provider.
func Type() provider.Type {
	return provider.Type{
		Name:     Name,
		Validate: func(r provider.Record, host provider.Host) error { _, err := parse(r, host); return err },
		Path:     ref,
		Allows:   allows,
		Open:     func(r provider.Record, host provider.Host) (provider.Provider, error) { return Open(r, host) },
	}
}

// SecretManager is a provider. Open one with [Open].
type SecretManager struct {
	http     *http.Client
	client   *bearer.Client
	secrets  *url.URL // of the project and location
	prefixes []string
}

var _ provider.Provider = (*SecretManager)(nil)

// Open returns a provider for a record. It does no I/O. The caller closes it.
func Open(r provider.Record, host provider.Host) (*SecretManager, error) {
	s, err := parse(r, host)
	if err != nil {
		return nil, err
	}
	parent := s.address.JoinPath("v1", "projects", s.Project)
	if s.Location != "" {
		parent = parent.JoinPath("locations", s.Location)
	}
	client := rest.Client(host.Egress, s.tls)
	return &SecretManager{http: client, client: bearer.NewClient(client, secretManager, s.login(client, host)), secrets: parent.JoinPath("secrets"), prefixes: s.prefixes}, nil
}

// ref checks the name and version of a secret.
func ref(path, version string) (provider.Ref, error) {
	invalid := func(message string) (provider.Ref, error) {
		return provider.Ref{}, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonReference, Message: message}
	}
	if !name.MatchString(path) {
		return invalid("the path must be the name of a secret: 1 to 255 letters, digits, hyphens and underscores")
	}
	if version != "" {
		if n, err := strconv.ParseUint(version, 10, 63); err != nil || n == 0 || strconv.FormatUint(n, 10) != version {
			return invalid("the version must be a number from 1; leave it empty for the latest")
		}
	}
	return provider.Ref{Path: path, Version: version}, nil
}

func allows(path string, prefixes []string) bool { return provider.AllowedName(path, "-_", prefixes) }

// Read implements [provider.Provider].
func (m *SecretManager) Read(ctx context.Context, ref provider.Ref) (provider.Document, error) {
	if !allows(ref.Path, m.prefixes) {
		return provider.Document{}, &provider.Error{Kind: provider.KindDenied, Reason: provider.ReasonPrefix, Message: "the path is outside the allowed prefixes of the provider"}
	}
	version := ref.Version
	if version == "" {
		version = "latest"
	}
	answer, err := m.get(ctx, m.secrets.JoinPath(ref.Path, "versions", version+":access"))
	switch {
	case err != nil:
		return provider.Document{}, err
	case answer.Status != http.StatusOK:
		return provider.Document{}, explain(ref, answer)
	}
	return payload(answer.Body)
}

// payload takes the value out of an answer, if it is what Secret Manager stored.
func payload(body []byte) (provider.Document, error) {
	var answer struct {
		Payload *struct {
			Data   []byte      `json:"data"`
			CRC32C json.Number `json:"dataCrc32c"` // a number of 64 bits, which Google's JSON quotes
		} `json:"payload"`
	}
	if err := provider.DecodeJSON(body, &answer); err != nil {
		return provider.Document{}, err
	}
	if answer.Payload == nil {
		return provider.Document{}, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonAnswer, Message: "the answer holds no payload"}
	}
	data := answer.Payload.Data
	if sum := answer.Payload.CRC32C.String(); sum != strconv.FormatUint(uint64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))), 10) {
		if sum == "" {
			return provider.Document{}, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonAnswer, Message: "the answer holds no CRC32C"}
		}
		// Google asks clients to try again.
		return provider.Document{}, &provider.Error{Kind: provider.KindUnavailable, Reason: provider.ReasonServer, Message: "the value does not match its CRC32C: it was damaged on the way"}
	}
	return provider.NewText(data), nil
}

// Check implements [provider.Provider]. It gets a token if need be and asks for the name of one secret, which the token need not be allowed to see.
func (m *SecretManager) Check(ctx context.Context) error {
	u := *m.secrets
	u.RawQuery = "pageSize=1"
	answer, err := m.get(ctx, &u)
	switch {
	case err != nil:
		return err
	case answer.Status == http.StatusOK, answer.Status == http.StatusForbidden && status(answer.Body) == "PERMISSION_DENIED":
		return nil
	default:
		return explain(provider.Ref{}, answer)
	}
}

func (m *SecretManager) get(ctx context.Context, u *url.URL) (*bearer.Answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonReference, Message: "the name of the secret makes no URL"}
	}
	return m.client.Ask(r)
}

// Close implements [provider.Provider]. Access tokens are not revoked: they end by themselves within an hour.
func (m *SecretManager) Close() error {
	m.http.CloseIdleConnections()
	return nil
}
