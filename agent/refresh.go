// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// Refresh is what [Sidecar] does after the first values. The zero Refresh is that of an init agent, which does nothing.
type Refresh struct {
	Interval time.Duration // between two looks; each is up to a tenth sooner or later
	// Of these three at most one is set: what becomes of containers whose files were replaced.
	URL     string         // of the pod itself, to POST to
	Signal  syscall.Signal // for the first process of each
	Restart bool           // the kubelet restarts the pod's containers
}

var signals = map[string]syscall.Signal{
	"SIGHUP": syscall.SIGHUP, "SIGINT": syscall.SIGINT, "SIGQUIT": syscall.SIGQUIT, "SIGTERM": syscall.SIGTERM,
	"SIGUSR1": syscall.SIGUSR1, "SIGUSR2": syscall.SIGUSR2, "SIGWINCH": syscall.SIGWINCH,
}

// parseRefresh reads the variables of the sidecar, and reports to wrong those that are.
func parseRefresh(getenv func(string) string, request *wire.ResolveRequest, wrong func(name string, err error)) Refresh {
	var r Refresh
	switch mode := getenv(podspec.EnvMode); mode {
	case "", podspec.ModeVerify:
		return r
	case podspec.ModeSidecar:
	default:
		wrong(podspec.EnvMode, fmt.Errorf("is %.80q, which this agent does not know: use an init agent of the injector's version", mode))
		return r
	}
	var err error
	r.Interval, err = podspec.ParseRefresh(getenv(podspec.EnvRefresh))
	if err == nil && r.Interval == 0 {
		err = errors.New("is off: a sidecar has nothing to do then")
	}
	wrong(podspec.EnvRefresh, err)
	chosen := 0
	if r.URL = getenv(podspec.EnvRefreshHTTP); r.URL != "" {
		chosen++
		_, err := podspec.ParseReloadURL(r.URL)
		wrong(podspec.EnvRefreshHTTP, err)
	}
	if name := getenv(podspec.EnvRefreshSignal); name != "" {
		chosen++
		var ok bool
		if r.Signal, ok = signals[name]; !ok {
			wrong(podspec.EnvRefreshSignal, errors.New("is not a signal this agent sends"))
		}
	}
	if text := getenv(podspec.EnvRefreshRestart); text != "" {
		chosen++
		if r.Restart = text == podspec.RefreshTrue; !r.Restart {
			wrong(podspec.EnvRefreshRestart, errors.New("is not true"))
		}
	}
	if chosen > 1 {
		wrong(podspec.EnvRefresh, errors.New("is followed by more than one way to tell the containers"))
	}
	for _, c := range request.Containers {
		if c.Delivery != wire.DeliveryFile {
			wrong(podspec.EnvRequest, fmt.Errorf("wants delivery %s for container %q: a sidecar refreshes files only", c.Delivery, c.Name))
		}
	}
	return r
}
