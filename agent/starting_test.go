// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

func TestAnInitAgentSaysThatTheContainersStart(t *testing.T) {
	asked := make(chan wire.ResolveRequest, 1)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request wire.ResolveRequest
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			t.Error(err)
		}
		asked <- request
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(wire.AppendResponse(nil, &wire.ResolveResponse{RequestID: "r-1", Containers: []wire.ContainerValues{containerValues("app", "A", "1")}}))
	}))
	t.Cleanup(s.Close)
	c := newConfig(t, s, container("app", "A"))
	if err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if request := <-asked; !request.Starting || c.Request.Starting {
		t.Errorf("asked: %+v; configured: %+v", request, c.Request)
	}
}

// What somebody starts by hand beside the command, or in a process namespace that several containers share, must not have the lease of the command revoked.
func TestOnlyTheFirstProcessOfAContainerSaysThatItStarts(t *testing.T) {
	c := Config{Request: wire.ResolveRequest{Protocol: wire.Protocol, Containers: []wire.ContainerRequest{{Name: "app", Delivery: wire.DeliveryDirect}}}}
	for pid, want := range map[int]bool{1: true, 7: false} {
		if got := c.ownRequest(pid); got.Starting != want || len(got.Containers) != 1 {
			t.Errorf("process %d asks %+v", pid, got)
		}
	}
}
