// SPDX-License-Identifier: Apache-2.0

package vaultprovider

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/e2e/cluster"
)

const (
	roleID   = "e2e-role-id"
	secretID = "e2e-secret-id"
)

// server is a real Vault on loopback, with KV version 2 at kv/, version 1 at kv1/, leased values at leased/, and an AppRole that may read everything below them but denied/.
type server struct {
	binary  string
	listen  string
	root    string // token
	process *exec.Cmd
	// reads counts requests for secrets, if the server is reached through proxy.
	reads atomic.Int64
}

func start(t *testing.T) *server {
	t.Helper()
	binary, err := cluster.VaultBinary(t.Context(), cluster.Config{Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{binary: binary, listen: port.Addr().String()}
	port.Close()
	s.up(t)
	t.Cleanup(func() { s.down(t) })
	return s
}

// up starts the server and sets it up. What an earlier process kept is gone.
func (s *server) up(t *testing.T) {
	t.Helper()
	s.process = exec.Command(s.binary, "-listen", s.listen, "-log-level", "off")
	stdout, err := s.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.process.Stderr = os.Stderr
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	if _, err := fmt.Sscanf(line, "ready address="+s.address()+" root_token=%s", &s.root); err != nil {
		t.Fatalf("vault did not start: %v", err)
	}
	s.must(t, "POST", "sys/mounts/kv1", `{"type":"kv","options":{"version":"1"}}`)
	s.must(t, "POST", "sys/mounts/leased", `{"type":"leased-kv"}`)
	s.must(t, "PUT", "sys/policies/acl/tenant", `{"policy":"path \"leased/*\" { capabilities = [\"read\"] } path \"sys/leases/revoke\" { capabilities = [\"update\"] }"}`)
	s.must(t, "PUT", "sys/policies/acl/reader", `{"policy":"path \"kv/*\" { capabilities = [\"read\"] } path \"kv1/*\" { capabilities = [\"read\"] } path \"kv/data/denied/*\" { capabilities = [\"deny\"] } path \"kv1/denied/*\" { capabilities = [\"deny\"] }"}`)
	s.must(t, "POST", "sys/auth/approle", `{"type":"approle"}`)
	s.role(t, "1h", "0")
}

// role gives the tokens of the AppRole a life.
func (s *server) role(t *testing.T, ttl, maxTTL string) {
	t.Helper()
	s.must(t, "POST", "auth/approle/role/reader", fmt.Sprintf(`{"token_policies":"reader,tenant","token_ttl":%q,"token_max_ttl":%q}`, ttl, maxTTL))
	s.must(t, "POST", "auth/approle/role/reader/role-id", fmt.Sprintf(`{"role_id":%q}`, roleID))
	if status, body := s.call(t, "POST", "auth/approle/role/reader/custom-secret-id", fmt.Sprintf(`{"secret_id":%q}`, secretID)); status >= 300 && !bytes.Contains(body, []byte("already registered")) {
		t.Fatalf("creating the secret id: %d %s", status, body)
	}
}

func (s *server) down(t *testing.T) {
	t.Helper()
	_ = s.process.Process.Signal(syscall.SIGCONT)
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

func (s *server) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := s.process.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

func (s *server) address() string { return "http://" + s.listen }

// call speaks to Vault as root, without the client library the provider uses.
func (s *server) call(t *testing.T, method, path, body string) (int, []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.address()+"/v1/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Vault-Token", s.root)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

func (s *server) must(t *testing.T, method, path, body string) []byte {
	t.Helper()
	status, answer := s.call(t, method, path, body)
	if status >= 300 {
		t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	return answer
}

// put writes a secret to either version of KV.
func (s *server) put(t *testing.T, path, object string) {
	t.Helper()
	if rest, ok := strings.CutPrefix(path, "kv/"); ok {
		s.must(t, "POST", "kv/data/"+strings.TrimPrefix(rest, "data/"), `{"data":`+object+`}`)
		return
	}
	s.must(t, "POST", path, object)
}

// token creates a token with the policy of the reader.
func (s *server) token(t *testing.T, options string) string {
	t.Helper()
	var created struct {
		Auth struct {
			ClientToken string `json:"client_token"`
		} `json:"auth"`
	}
	if err := json.Unmarshal(s.must(t, "POST", "auth/token/create", options), &created); err != nil {
		t.Fatal(err)
	}
	return created.Auth.ClientToken
}
