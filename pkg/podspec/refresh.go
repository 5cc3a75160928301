// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// RefreshOff, as the value of [AnnotationRefresh], is the same as no annotation.
const RefreshOff = "off"

// Bounds of the interval of a refresh. Each one is a TokenReview for the API server: ten seconds for a thousand pods are a hundred a second. A day is the
// longest for which the jitter of a tenth still means anything to people.
const (
	MinRefresh = 10 * time.Second
	MaxRefresh = 24 * time.Hour
)

// Signals are those that may tell a container of new files.
var Signals = []string{"SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGWINCH"}

// ModeStarted, as the agent's first argument, makes it check that the sidecar it runs beside has written every value. It is the sidecar's startup probe.
const ModeStarted = "started"

// AgentPath is where the agent's binary is in its image, for a probe, which cannot say "the image's entry point".
const AgentPath = "/" + Binary

// ExitRestart is the exit code with which the sidecar asks the kubelet to restart all containers of the pod.
const ExitRestart = 20

// RefreshTrue is the only value of [AnnotationRefreshRestart].
const RefreshTrue = "true"

// ParseRefresh parses the value of [AnnotationRefresh]. Zero means off.
func ParseRefresh(text string) (time.Duration, error) {
	if text == RefreshOff {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errors.New("is not a duration: write it like 30s, 5m or 1h, or off")
	}
	if d < MinRefresh || d > MaxRefresh {
		return 0, fmt.Errorf("must be between %v and %v", MinRefresh, MaxRefresh)
	}
	return d, nil
}

// maxReloadURL is far over what a path of an endpoint needs.
const maxReloadURL = 1024

// ParseReloadURL checks the value of [AnnotationRefreshHTTP] and returns its port: plain HTTP to a literal loopback address, so that it goes to the pod itself
// whatever a resolver says, with a port and nothing that could hold a credential.
func ParseReloadURL(text string) (port int, err error) {
	if len(text) > maxReloadURL {
		return 0, fmt.Errorf("is longer than %d bytes", maxReloadURL)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return 0, errors.New("is not a URL: write it like http://127.0.0.1:8080/reload")
	case u.Scheme != "http":
		return 0, errors.New("is not an http URL: within a pod there is no certificate to check")
	case u.Hostname() != "127.0.0.1" && u.Hostname() != "::1":
		return 0, errors.New("is not of the pod itself: its host must be 127.0.0.1 or [::1]")
	case u.User != nil || u.Fragment != "":
		return 0, errors.New("has a user or a fragment: remove it")
	}
	port, err = strconv.Atoi(u.Port())
	if err != nil || port < 1 || port > 65535 {
		return 0, errors.New("has no port: write it like http://127.0.0.1:8080/reload")
	}
	return port, nil
}
