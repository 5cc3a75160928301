// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// identity is as whom the API server is asked. Errors are [*provider.Error]s.
type identity interface {
	mayRead(namespace string) error
	// show returns a token and a client that verifies the server it is shown to.
	show() (token string, client *http.Client, err error)
	close()
}

// given is the token of a record.
type given struct {
	token  string
	client *http.Client
}

func (g *given) mayRead(string) error                { return nil }
func (g *given) show() (string, *http.Client, error) { return g.token, g.client, nil }
func (g *given) close()                              { g.client.CloseIdleConnections() }

// own is the registry's own service account. Its files are read for each request: the kubelet replaces the token, and the authority when it is rotated.
type own struct {
	cluster *provider.Cluster
	guard   *egress.Guard

	mu     sync.Mutex
	bundle []byte
	client *http.Client
}

// mayRead repeats what the record was checked for, in case the operator has changed his mind, and refuses the registry's own namespace, where the keys of all values are.
func (o *own) mayRead(namespace string) error {
	home, err := o.file("namespace")
	if err != nil {
		return err
	}
	if namespace == string(bytes.TrimSpace(home)) || !listed(o.cluster, namespace) {
		return &provider.Error{Kind: provider.KindDenied, Reason: provider.ReasonPrefix, Message: "the operator does not let providers read Secrets of this namespace"}
	}
	return nil
}

func (o *own) show() (string, *http.Client, error) {
	token, err := o.file("token")
	if err != nil {
		return "", nil, err
	}
	bundle, err := o.file("ca.crt")
	if err != nil {
		return "", nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.client == nil || !bytes.Equal(bundle, o.bundle) {
		config, err := rest.TLS(string(bundle), "")
		if err != nil || len(bundle) == 0 {
			return "", nil, unusable("ca.crt", err)
		}
		if o.client != nil {
			o.client.CloseIdleConnections()
		}
		o.client, o.bundle = rest.Client(o.guard, config), bundle
	}
	if token = bytes.TrimSpace(token); !rest.Printable(string(token)) {
		return "", nil, unusable("token", nil)
	}
	return string(token), o.client, nil
}

const maxFile = 256 << 10

func (o *own) file(name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(o.cluster.Directory, name))
	if err != nil {
		return nil, unusable(name, err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil || len(content) == 0 || len(content) > maxFile {
		return nil, unusable(name, err)
	}
	return content, nil
}

func unusable(name string, err error) error {
	return &provider.Error{Kind: provider.KindUnavailable, Reason: provider.ReasonRecord, Message: "the registry's service account has no usable " + name, Err: err}
}

func (o *own) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.client != nil {
		o.client.CloseIdleConnections()
	}
}
