// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// Name is the name of the type.
const Name = "kubernetes"

const server = "the API server" // in messages

// Type is Secrets of Kubernetes as a type of provider.
func Type() provider.Type {
	return provider.Type{
		Name:     Name,
		Validate: func(r provider.Record, host provider.Host) error { _, err := parse(r, host); return err },
		Path:     ref,
		Open:     func(r provider.Record, host provider.Host) (provider.Provider, error) { return Open(r, host) },
	}
}

// Kubernetes is a provider. Open one with [Open].
type Kubernetes struct {
	*settings
	identity identity
}

var _ provider.Provider = (*Kubernetes)(nil)

// Open returns a provider for a record. It does no I/O. The caller closes it.
func Open(r provider.Record, host provider.Host) (*Kubernetes, error) {
	s, err := parse(r, host)
	if err != nil {
		return nil, err
	}
	k := &Kubernetes{settings: s}
	if s.cluster != nil {
		k.identity = &own{cluster: s.cluster, guard: host.Egress}
	} else {
		k.identity = &given{token: s.credentials.Token, client: rest.Client(host.Egress, s.tls)}
	}
	return k, nil
}

// ref checks that a path is <namespace>/<name>. Secrets have no versions that could be read.
func ref(path, version string) (provider.Ref, error) {
	invalid := func(message string) (provider.Ref, error) {
		return provider.Ref{}, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonReference, Message: message}
	}
	namespace, name, _ := strings.Cut(path, "/")
	if !label(namespace) || !subdomain(name) {
		return invalid("the path must be <namespace>/<name>")
	}
	if version != "" {
		return invalid("the version must be empty: Kubernetes keeps only the newest")
	}
	return provider.Ref{Path: path}, nil
}

const maxLabel, maxSubdomain = 63, 253

// label reports whether s is the name of a namespace.
func label(s string) bool {
	return s != "" && len(s) <= maxLabel && s[0] != '-' && s[len(s)-1] != '-' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// subdomain reports whether s is the name of a Secret. No such name has a meaning in a URL.
func subdomain(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if part == "" || part[0] == '-' || part[len(part)-1] == '-' || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return len(s) <= maxSubdomain
}

// Read implements [provider.Provider].
func (k *Kubernetes) Read(ctx context.Context, ref provider.Ref) (provider.Document, error) {
	if !provider.Allowed(ref.Path, k.prefixes) {
		return provider.Document{}, &provider.Error{Kind: provider.KindDenied, Reason: provider.ReasonPrefix, Message: "the path is outside the allowed prefixes of the provider"}
	}
	namespace, name, _ := strings.Cut(ref.Path, "/")
	if err := k.identity.mayRead(namespace); err != nil {
		return provider.Document{}, err
	}
	body, err := k.get(ctx, "/api/v1/namespaces/"+namespace+"/secrets/"+name)
	if err != nil {
		return provider.Document{}, err
	}
	var secret struct {
		Kind string            `json:"kind"`
		Data map[string][]byte `json:"data"`
	}
	if err := provider.DecodeJSON(body, &secret); err != nil {
		return provider.Document{}, err
	}
	if secret.Kind != "Secret" {
		return provider.Document{}, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonAnswer, Message: "the answer is not a Secret: is config.address that of an API server?"}
	}
	return provider.NewBytes(secret.Data), nil
}

// Check implements [provider.Provider]. It asks which versions of the API there are, which everybody may who is authenticated.
func (k *Kubernetes) Check(ctx context.Context) error {
	_, err := k.get(ctx, "/api")
	if e, ok := err.(*provider.Error); ok && e.Reason == provider.ReasonPermission { //nolint:errorlint // get returns nothing else
		return nil // a 403 is for those the server knows; it answers 401 to a token it does not accept
	}
	return err
}

// get returns the body of an answer of status 200. The error is an [*provider.Error].
func (k *Kubernetes) get(ctx context.Context, path string) ([]byte, error) {
	token, client, err := k.identity.show()
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.address.String()+path, nil)
	if err != nil {
		return nil, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonReference, Message: "the path cannot be asked for"}
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "lanyard-registry")
	resp, err := client.Do(r)
	if err != nil {
		return nil, rest.Broken(ctx, server, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, refused(resp)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || ctx.Err() != nil { // a server that sees us hang up may still end its answer in good form, in the middle
		return nil, rest.Broken(ctx, server, err)
	}
	return body, nil
}

// Close implements [provider.Provider].
func (k *Kubernetes) Close() error {
	k.identity.close()
	return nil
}
