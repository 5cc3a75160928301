// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"
)

// reloadTimeout is how long a container may take to answer that it has read its new files.
const reloadTimeout = 10 * time.Second

// reloadTransport reaches the pod itself. It uses no proxy, whatever the environment says.
func reloadTransport() *http.Transport {
	return &http.Transport{DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 16 << 10}
}

// notify tells the containers that their files are new, if they asked to be told. An error never quotes what a container answered.
func (s *sidecar) notify(ctx context.Context) error {
	switch r := s.config.Refresh; {
	case r.URL != "":
		return s.post(ctx, r.URL)
	case r.Signal != 0:
		return s.signal(r.Signal)
	}
	return nil
}

func (s *sidecar) post(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("making request: %w", err)
	}
	req.Header.Set("User-Agent", "lanyard-agent")
	resp, err := s.reload.RoundTrip(req) // instead of an http.Client: a redirect might lead out of the pod
	if err != nil {
		return fmt.Errorf("posting to the container: %w", err)
	}
	_ = resp.Body.Close() // unread
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("posting to the container: it answered with status %d", resp.StatusCode)
	}
	return nil
}

// signal sends sig to the first process of each container. Each gets it, whatever becomes of the others.
func (s *sidecar) signal(sig syscall.Signal) error {
	var errs []error
	for i, container := range s.config.Request.Containers {
		if err := signalContainer(s.proc, s.dirs[i], sig); err != nil {
			errs = append(errs, fmt.Errorf("container %s: %w", container.Name, err))
		}
	}
	return errors.Join(errs...)
}

func signalContainer(proc, dir string, sig syscall.Signal) error {
	pid, err := mainProcess(proc, dir)
	if err != nil {
		return err
	}
	err = syscall.Kill(pid, sig)
	if errors.Is(err, syscall.EPERM) {
		return errors.New("its first process runs as another user than the sidecar, which may not signal it: give both the pod's runAsUser")
	}
	if err != nil {
		return fmt.Errorf("sending a signal: %w", err)
	}
	return nil
}
