// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"

	"github.com/hashicorp/vault/api"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// client sends requests with one token, or none. It is immutable and shares its connections with the other clients of the provider.
type client struct{ api *api.Client }

// newClient returns a client. Everything the library takes from the environment is either set in the configuration it is given or cleared afterwards. What remains is that it refuses
// to work if a VAULT_ variable is malformed, which cannot be avoided.
func (v *Vault) newClient(token string) (client, error) {
	c, err := api.NewClient(&api.Config{
		Address:          v.address.String(),
		HttpClient:       v.http,
		MaxRetries:       0,
		CheckRetry:       func(context.Context, *http.Response, error) (bool, error) { return false, nil },
		DisableRedirects: true,
	})
	if err != nil {
		return client{}, &provider.Error{Kind: provider.KindUnavailable, Reason: provider.ReasonConfig,
			Message: "the client library refuses the VAULT_ variables in the environment of the registry: remove them", Err: err}
	}
	c.SetHeaders(http.Header{api.RequestHeaderName: {"true"}, "User-Agent": {"lanyard-registry"}})
	if v.Namespace == "" {
		c.ClearNamespace()
	} else {
		c.SetNamespace(v.Namespace)
	}
	c.SetWrappingLookupFunc(func(string, string) string { return "" })
	c.SetToken(token)
	return client{c}, nil
}

// answer is what Vault says. Only the fields that are used are decoded.
type answer struct {
	LeaseID       string          `json:"lease_id"`
	LeaseDuration int64           `json:"lease_duration"`
	Renewable     bool            `json:"renewable"`
	Data          json.RawMessage `json:"data"`
	Auth          *struct {
		ClientToken   string `json:"client_token"`
		LeaseDuration int64  `json:"lease_duration"`
		Renewable     bool   `json:"renewable"`
	} `json:"auth"`
	WrapInfo json.RawMessage `json:"wrap_info"`
}

func (c client) get(ctx context.Context, path string, query url.Values) (answer, error) {
	resp, err := c.api.Logical().ReadRawWithDataWithContext(ctx, path, query)
	return receive(ctx, resp, err)
}

func (c client) put(ctx context.Context, path string, body any) (answer, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return answer{}, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonConfig, Message: "the credentials cannot be sent as JSON"}
	}
	defer clear(raw)
	resp, err := c.api.Logical().WriteRawWithContext(ctx, path, raw)
	return receive(ctx, resp, err)
}

// receive turns a response into an answer or a *statusError or *provider.Error. The library's own error is looked at only if there is no response: it may quote the body.
func receive(ctx context.Context, resp *api.Response, err error) (answer, error) {
	if resp == nil || resp.Response == nil {
		return answer{}, rest.Broken(ctx, server, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNoContent {
		return answer{}, &statusError{status: resp.StatusCode, header: resp.Header, body: body}
	}
	switch {
	case err != nil, ctx.Err() != nil: // a server that sees us hang up may still end its answer in good form, in the middle
		return answer{}, rest.Broken(ctx, server, err)
	case len(body) == 0:
		return answer{}, nil
	}
	var a answer
	if err := provider.DecodeJSON(body, &a); err != nil {
		return answer{}, err
	}
	if len(a.WrapInfo) > 0 && string(a.WrapInfo) != "null" {
		return answer{}, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonAnswer, Message: "the answer is wrapped"}
	}
	return a, nil
}
