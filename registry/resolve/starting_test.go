// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"context"
	"slices"
	"testing"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
)

func TestAFetchKnowsWhichContainersStartAndSinceWhen(t *testing.T) {
	for name, c := range map[string]struct {
		request wire.ResolveRequest
		since   int64
	}{
		"containers that start":            {wire.ResolveRequest{Starting: true}, 41},
		"containers that may run":          {wire.ResolveRequest{}, 0},
		"containers that have values":      {wire.ResolveRequest{Mark: "of an earlier answer"}, 0},
		"a mark wins over what is claimed": {wire.ResolveRequest{Mark: "of an earlier answer", Starting: true}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.fetch = func(context.Context, string, store.Remote) (redact.Value, error) { return w.hand(canary), nil }
			known := int64(41)
			var call resolve.Call
			r, err := resolve.New(resolve.Config{
				View:  func(context.Context) (resolve.View, error) { known++; return w, nil }, // another attempt got its lease while this one waited
				Fetch: func(c resolve.Call) resolve.Fetcher { call = c; return w },
				Known: func() int64 { return known }, Audit: w, Denied: denier{w},
			})
			if err != nil {
				t.Fatal(err)
			}
			c.request.Protocol = wire.Protocol
			c.request.Containers = []wire.ContainerRequest{
				{Name: "app", Consumer: "shop/web", Delivery: wire.DeliveryEnvfile, Envs: []string{"VAULT"}}, {Name: "side", Consumer: "shop/web", Delivery: wire.DeliveryEnvfile, Envs: []string{"PLAIN"}},
			}
			request, refusal := resolve.Parse(c.request)
			if refusal != nil {
				t.Fatal(refusal)
			}
			if _, refusal := r.Resolve(t.Context(), caller, request); refusal != nil {
				t.Fatal(refusal)
			}
			if call.Since != c.since || !slices.Equal(call.Containers, []string{"app", "side"}) {
				t.Errorf("since %d for %q", call.Since, call.Containers)
			}
		})
	}
}
