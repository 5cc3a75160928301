// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/provider"
)

var _ provider.PassThrough = (*Vault)(nil)

func (s *settings) passesThrough() bool { return s.Auth.Mode == ModePassThrough }

// audience is [provider.Type.Audience].
func audience(config json.RawMessage) string {
	var c Config
	if json.Unmarshal(config, &c) != nil || c.Auth.Mode != ModePassThrough {
		return ""
	}
	if c.Auth.Audience == "" {
		return defaultAudience
	}
	return c.Auth.Audience
}

// checkPassThrough checks what is asked for of pods. Whoever gets a pod's token can be that pod wherever its audience is accepted, so both the audience and the server are the
// operator's to allow.
func (s *settings) checkPassThrough(host provider.Host, only func(string) error) error {
	a := &s.Auth
	switch {
	case a.Method != MethodKubernetes && a.Method != MethodJWT:
		return errors.New("config.auth.mode: passthrough goes with the methods kubernetes and jwt")
	case a.Method == MethodKubernetes && a.Role == "":
		return errors.New("config.auth.role: required by method kubernetes")
	case !slices.Contains(host.PodAudiences, a.Audience):
		return fmt.Errorf("config.auth.audience: %q is none that the operator lets pods have tokens of for providers", a.Audience)
	case !slices.Contains(host.TrustedAddresses, s.address.String()):
		return errors.New("config.auth.mode: passthrough shows tokens of pods to the server, which is allowed only for servers the operator lists as trusted")
	}
	return only("")
}

// reader is a [provider.Reader]: a login of its own, and of what the provider knows only the mounts, which are no secrets.
type reader struct {
	vault *Vault
	login login
}

// As implements [provider.PassThrough].
func (v *Vault) As(token redact.Value) provider.Reader {
	r := &reader{vault: v}
	r.login = login{vault: v, authenticate: func(ctx context.Context) (*session, error) {
		return v.exchange(ctx, v.jwtBody(string(token.Reveal())))
	}}
	return r
}

func (r *reader) Read(ctx context.Context, ref provider.Ref) (provider.Document, error) {
	return r.vault.read(ctx, &r.login, ref)
}

func (r *reader) Close() error { return r.login.close() }

// nobody is how a provider logs in that has no identity of its own.
func nobody(context.Context) (*session, error) { return nil, provider.PodRequired() }

// checkWithoutPod asks what Vault tells everybody: that it is there, initialized and unsealed. Whether it accepts the tokens of pods shows when one starts.
func (v *Vault) checkWithoutPod(ctx context.Context) error {
	c, err := v.newClient("")
	if err != nil {
		return err
	}
	c.api.ClearNamespace() // the health is that of the server, and asked for nowhere else
	if _, err := c.get(ctx, "sys/health", url.Values{"standbyok": {"true"}, "perfstandbyok": {"true"}}); err != nil {
		return explain(err)
	}
	return nil
}
