// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/auditchain"
	"github.com/lanyard-dev/lanyard/registry"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/envelope/keydir"
	"github.com/lanyard-dev/lanyard/registry/install"
)

// process is a registry that runs as `lanyard-registry dev` would run it.
type process struct {
	t       *testing.T
	metrics string // address of the health listener
	api     chan string
	stop    context.CancelFunc
	ended   chan error
	token   string
}

// start runs a registry on the directory, which keeps key, token and data.
func start(t *testing.T, dir string, change func(*registry.Config)) *process {
	t.Helper()
	keys, tokenFile := filepath.Join(dir, "keys"), filepath.Join(dir, "token")
	if err := keydir.Create(keys); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	token, err := os.ReadFile(tokenFile)
	if os.IsNotExist(err) {
		token = []byte(install.NewBootstrapToken())
		err = os.WriteFile(tokenFile, token, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	logs, logWriter := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	p := &process{t: t, api: make(chan string, 1), stop: stop, ended: make(chan error, 1), token: string(token)}
	config := registry.Config{
		DataDir: filepath.Join(dir, "data"), KeyDir: keys, BootstrapTokenFile: tokenFile, NoCluster: true, LogOut: logWriter,
		APIAddress: "127.0.0.1:0", WorkloadAddress: "127.0.0.1:0", MetricsAddress: "127.0.0.1:0",
		Started: func(a registry.Addresses) { p.api <- a.API },
	}
	if change != nil {
		change(&config)
	}
	go func() {
		p.ended <- registry.Run(ctx, config)
		_ = logWriter.Close()
	}()
	metrics := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(logs); lines.Scan(); {
			var line struct{ Msg, Metrics string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "starting" {
				metrics <- line.Metrics
			}
		}
		_, _ = io.Copy(io.Discard, logs)
	}()
	select {
	case p.metrics = <-metrics:
	case err := <-p.ended:
		t.Fatalf("the registry ended: %v", err)
	}
	t.Cleanup(stop)
	return p
}

// serving waits for the API and returns its address.
func (p *process) serving() string {
	p.t.Helper()
	select {
	case address := <-p.api:
		return "http://" + address
	case err := <-p.ended:
		p.t.Fatalf("the registry ended: %v", err)
	case <-time.After(time.Minute):
		p.t.Fatal("the registry does not serve")
	}
	return ""
}

func (p *process) end() {
	p.t.Helper()
	p.stop()
	select {
	case err := <-p.ended:
		if err != nil {
			p.t.Errorf("the registry ended with %v", err)
		}
	case <-time.After(time.Minute):
		p.t.Fatal("the registry does not end")
	}
}

func (p *process) call(method, url, body string) (int, string, error) {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.token)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, string(answer), err
}

func (p *process) must(status int, method, url, body string) string {
	p.t.Helper()
	got, answer, err := p.call(method, url, body)
	if err != nil || got != status {
		p.t.Fatalf("%s %s: status %d, error %v, %s", method, url, got, err, answer)
	}
	return answer
}

// readiness waits until /readyz answers with the status and a text that holds want.
func (p *process) readiness(status int, want string) {
	p.t.Helper()
	var got int
	var answer string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		var err error
		if got, answer, err = p.call("GET", "http://"+p.metrics+"/readyz", ""); err == nil && got == status && strings.Contains(answer, want) {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-p.t.Context().Done():
		}
	}
	p.t.Fatalf("readyz: %d %q, want %d with %q", got, answer, status, want)
}

// TestWhatWasAcknowledgedSurvivesTheEnd writes until the registry refuses connections. It has announced its end before, and nothing it acknowledged is lost.
func TestWhatWasAcknowledgedSurvivesTheEnd(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, func(c *registry.Config) { c.DrainDelay = 300 * time.Millisecond })
	url := p.serving()
	p.readiness(200, "ok")
	p.must(201, "POST", url+"/api/v1/organizations", `{"slug":"acme"}`)

	written, drained := 0, false
	for n := 0; ; n++ {
		if n == 20 {
			p.stop()
		}
		status, answer, err := p.call("POST", url+"/api/v1/organizations/acme/secrets", fmt.Sprintf(`{"name":"s%d","value":"v"}`, written))
		if err != nil {
			break // the listener is closed
		}
		if status == http.StatusTooManyRequests {
			continue // on a fast machine; it was not acknowledged
		}
		if status != 201 {
			t.Fatalf("while draining: status %d %s", status, answer)
		}
		written++
		if status, _, err := p.call("GET", "http://"+p.metrics+"/readyz", ""); err == nil && status == 503 {
			drained = true
		}
	}
	p.end()
	if !drained || written <= 20 {
		t.Errorf("%d writes were answered, readiness ended first: %v; want writes to be answered while it is not ready any more", written, drained)
	}

	again := start(t, dir, nil)
	url = again.serving()
	for n := range written {
		at := url + fmt.Sprintf("/api/v1/organizations/acme/secrets/s%d", n)
		status, answer, err := again.call("GET", at, "")
		for err == nil && status == http.StatusTooManyRequests {
			time.Sleep(10 * time.Millisecond) // the limiter of the API gives a hundred a second
			status, answer, err = again.call("GET", at, "")
		}
		if err != nil || status != http.StatusOK {
			t.Fatalf("GET %s: status %d, error %v, %s", at, status, err, answer)
		}
	}
	again.end()
}

// TestAForeignKeyRingIsNeverAFreshStart replaces the key ring. The registry says which key it misses, changes nothing, and goes on by itself when it is back.
func TestAForeignKeyRingIsNeverAFreshStart(t *testing.T) {
	dir := t.TempDir()
	keys, kept := filepath.Join(dir, "keys"), filepath.Join(dir, "kept")
	p := start(t, dir, nil)
	url := p.serving()
	p.must(201, "POST", url+"/api/v1/organizations", `{"slug":"acme"}`)
	p.must(201, "POST", url+"/api/v1/organizations/acme/secrets", `{"name":"s","value":"v"}`)
	p.end()
	ring, err := keydir.Load(keys)
	if err != nil {
		t.Fatal(err)
	}
	missing := ring.Primary().String()
	if err := os.Rename(keys, kept); err != nil {
		t.Fatal(err)
	}

	p = start(t, dir, nil) // makes a new key
	p.readiness(503, missing)
	if status, answer, err := p.call("GET", p.serving()+"/api/v1/organizations", ""); err != nil || status != 503 || !strings.Contains(answer, "key") {
		t.Errorf("status %d, error %v, %s; want 503", status, err, answer)
	}
	replace(t, keys, kept)
	p.readiness(200, "ok")
	p.end()

	p = start(t, dir, nil)
	if answer := p.must(200, "GET", p.serving()+"/api/v1/organizations/acme/secrets/s", ""); !strings.Contains(answer, `"active_version":1`) {
		t.Errorf("the secret is not what it was: %s", answer)
	}
	p.end()
}

// TestEverythingIsInTheAuditFileBeforeItHappens takes the file away: nothing changes and readiness says why, until it is back.
func TestEverythingIsInTheAuditFileBeforeItHappens(t *testing.T) {
	dir := t.TempDir()
	path, aside := filepath.Join(dir, "log", "audit.ndjson"), filepath.Join(dir, "aside")
	withFile := func(c *registry.Config) { c.Audit.Path = path }
	p := start(t, dir, withFile)
	url := p.serving()
	p.must(201, "POST", url+"/api/v1/organizations", `{"slug":"acme"}`)
	p.must(201, "POST", url+"/api/v1/organizations/acme/secrets", `{"name":"s","value":"`+canary+`"}`)
	audited(t, path, "organization.create", "secret.create")

	if err := os.Rename(path, aside); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if answer := p.must(503, "DELETE", url+"/api/v1/organizations/acme/secrets/s", ""); !strings.Contains(answer, "problems/audit-unavailable") {
		t.Errorf("got %s", answer)
	}
	p.readiness(503, "audit sink file")
	p.must(200, "GET", url+"/api/v1/organizations/acme/secrets/s", "")
	if err := os.Rename(aside, path); err != nil {
		t.Fatal(err)
	}
	p.readiness(200, "ok")
	p.must(204, "DELETE", url+"/api/v1/organizations/acme/secrets/s", "")
	p.end()

	p = start(t, dir, withFile)
	p.must(200, "POST", p.serving()+"/api/v1/organizations/acme/secrets/s/undelete", "")
	p.end()
	audited(t, path, "organization.create", "secret.create", "secret.delete", "secret.undelete")
}

const canary = "CANARY-7d1e"

// audited checks the chain of a file, and the actions it tells of.
func audited(t *testing.T, path string, actions ...string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v auditchain.Verifier
	if err := v.Read(path, bytes.NewReader(content)); err != nil || !v.Report().OK() {
		t.Errorf("the chain: %v, %v", v.Report().Problems, err)
	}
	var got []string
	for line := range strings.Lines(string(content)) {
		var l struct{ Event audit.Event }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		got = append(got, string(l.Event.Action))
	}
	if !slices.Equal(got, actions) {
		t.Errorf("the file tells of %v, want %v", got, actions)
	}
	if strings.Contains(string(content), canary) {
		t.Error("the file holds a value")
	}
}

// replace puts the files of one key directory into another one that is being watched.
func replace(t *testing.T, dir, with string) {
	t.Helper()
	files, err := os.ReadDir(with)
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range old {
		if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range files {
		content, err := os.ReadFile(filepath.Join(with, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f.Name()), bytes.Clone(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
