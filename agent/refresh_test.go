// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

func TestTheSidecarsConfiguration(t *testing.T) {
	files := container("app", "A")
	files.Delivery = wire.DeliveryFile
	for name, tc := range map[string]struct {
		env  map[string]string
		want Refresh
		err  string
	}{
		"not a sidecar":         {map[string]string{podspec.EnvRefresh: "nonsense"}, Refresh{}, ""},
		"a mode of the future":  {map[string]string{podspec.EnvMode: "daemon"}, Refresh{}, `LANYARD_MODE is "daemon", which this agent does not know`},
		"nothing to tell":       {map[string]string{podspec.EnvMode: "sidecar", podspec.EnvRefresh: "1m"}, Refresh{Interval: time.Minute}, ""},
		"a URL":                 {map[string]string{podspec.EnvMode: "sidecar", podspec.EnvRefresh: "1m", podspec.EnvRefreshHTTP: "http://127.0.0.1:80/"}, Refresh{Interval: time.Minute, URL: "http://127.0.0.1:80/"}, ""},
		"a signal":              {map[string]string{podspec.EnvMode: "sidecar", podspec.EnvRefresh: "1m", podspec.EnvRefreshSignal: "SIGHUP"}, Refresh{Interval: time.Minute, Signal: syscall.SIGHUP}, ""},
		"a restart":             {map[string]string{podspec.EnvMode: "sidecar", podspec.EnvRefresh: "1m", podspec.EnvRefreshRestart: "true"}, Refresh{Interval: time.Minute, Restart: true}, ""},
		"no interval":           {map[string]string{podspec.EnvMode: "sidecar"}, Refresh{}, "LANYARD_REFRESH is not a duration"},
		"off":                   {map[string]string{podspec.EnvMode: "sidecar", podspec.EnvRefresh: "off"}, Refresh{}, "a sidecar has nothing to do"},
		"somewhere else":        {map[string]string{podspec.EnvMode: "sidecar", podspec.EnvRefresh: "1m", podspec.EnvRefreshHTTP: "http://example.com:80/"}, Refresh{}, "LANYARD_REFRESH_HTTP is not of the pod itself"},
		"an unknown signal":     {map[string]string{podspec.EnvMode: "sidecar", podspec.EnvRefresh: "1m", podspec.EnvRefreshSignal: "SIGKILL"}, Refresh{}, "LANYARD_REFRESH_SIGNAL is not a signal"},
		"a restart, perhaps":    {map[string]string{podspec.EnvMode: "sidecar", podspec.EnvRefresh: "1m", podspec.EnvRefreshRestart: "maybe"}, Refresh{}, "LANYARD_REFRESH_RESTART is not true"},
		"two ways":              {map[string]string{podspec.EnvMode: "sidecar", podspec.EnvRefresh: "1m", podspec.EnvRefreshRestart: "true", podspec.EnvRefreshSignal: "SIGHUP"}, Refresh{}, "more than one way"},
		"a delivery that stays": {map[string]string{podspec.EnvMode: "sidecar", podspec.EnvRefresh: "1m", podspec.EnvRequest: requestJSON(container("app", "A"))}, Refresh{}, "a sidecar refreshes files only"},
	} {
		t.Run(name, func(t *testing.T) {
			env := validEnv()
			text, err := json.Marshal(wire.ResolveRequest{Protocol: wire.Protocol, Containers: []wire.ContainerRequest{files}})
			if err != nil {
				t.Fatal(err)
			}
			env[podspec.EnvRequest] = string(text)
			for name, value := range tc.env {
				env[name] = value
			}
			c, err := ConfigFromEnv(func(name string) string { return env[name] })
			if tc.err == "" && (err != nil || c.Refresh != tc.want) {
				t.Errorf("got %+v, %v", c.Refresh, err)
			}
			if tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("error = %v, want %q", err, tc.err)
			}
		})
	}
}

func TestEverySignalOfTheContractIsKnown(t *testing.T) {
	for _, name := range podspec.Signals {
		if signals[name] == 0 {
			t.Errorf("%s is not known", name)
		}
	}
	if len(signals) != len(podspec.Signals) {
		t.Errorf("%d signals are known, %d are in the contract", len(signals), len(podspec.Signals))
	}
}
