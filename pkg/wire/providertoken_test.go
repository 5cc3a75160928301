// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

func TestProviderTokensTravelOnlyThroughAppendRequest(t *testing.T) {
	const canary = "cAnArY.provider.token"
	request := wire.ResolveRequest{Protocol: wire.ProtocolConsumers, ProviderTokens: []wire.ProviderToken{{Audience: "vault", Token: redact.New([]byte(canary))}}}
	body, err := wire.AppendRequest(nil, &request)
	if err != nil {
		t.Fatal(err)
	}
	if want := `"provider_tokens":[{"audience":"vault","token":"` + canary + `"}]`; !strings.Contains(string(body), want) || strings.Count(string(body), "provider_tokens") != 1 {
		t.Errorf("the request is %s, want %s in it once", body, want)
	}
	var got wire.ResolveRequest
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.ProviderTokens) != 1 || got.ProviderTokens[0].Audience != "vault" || string(got.ProviderTokens[0].Token.Reveal()) != canary {
		t.Error("the token did not survive the way")
	}
	plain, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(plain), fmt.Sprintf("%v %+v %#v", got, got, got)} {
		if strings.Contains(text, canary) {
			t.Errorf("the token is in %s", text)
		}
	}
	if !strings.Contains(string(plain), `"provider_tokens":[{"audience":"vault"}]`) {
		t.Errorf("a pod's spec would not name the audience: %s", plain)
	}
}

func TestARequestWithoutProviderTokensIsAsItWas(t *testing.T) {
	request := wire.ResolveRequest{Protocol: wire.ProtocolConsumers, Containers: []wire.ContainerRequest{{Name: "app", Consumer: "shop/web", Delivery: wire.DeliveryExec, Envs: []string{"A"}}}}
	want, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	got, err := wire.AppendRequest(nil, &request)
	if err != nil || string(got) != string(want) {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
}
