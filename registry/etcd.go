// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/embedded"
)

// etcd is a client and what must be closed after it.
type etcd struct {
	client *clientv3.Client
	close  func() error
}

// openEtcd starts the etcd inside this process, or connects to the one that was named.
func (r *server) openEtcd(ctx context.Context) (etcd, error) {
	if r.config.DataDir != "" {
		server, err := embedded.Start(ctx, filepath.Join(r.config.DataDir, "etcd"), embedded.Options{Log: r.log})
		if err != nil {
			return etcd{}, err
		}
		return etcd{server.Client(), server.Close}, nil
	}
	tlsConfig, err := r.etcdTLS()
	if err != nil {
		return etcd{}, err
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            r.config.EtcdEndpoints,
		TLS:                  tlsConfig,
		DialTimeout:          3 * time.Second,
		DialKeepAliveTime:    5 * time.Second, // with the timeout, a silent connection is given up after 8 s
		DialKeepAliveTimeout: 3 * time.Second,
		RejectOldCluster:     true,
		MaxCallSendMsgSize:   2 << 20,
	})
	if err != nil {
		return etcd{}, fmt.Errorf("dialing %v: %w", r.config.EtcdEndpoints, err)
	}
	return etcd{client, client.Close}, nil
}

// etcdTLS reads the files at every handshake of a new client certificate, so that they can be renewed under a running registry.
func (r *server) etcdTLS() (*tls.Config, error) {
	c := r.config
	if c.EtcdCAFile == "" {
		return nil, nil
	}
	bundle, err := os.ReadFile(c.EtcdCAFile)
	if err != nil {
		return nil, fmt.Errorf("reading -etcd-ca-file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		return nil, errors.New("reading -etcd-ca-file: it holds no certificate")
	}
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if c.EtcdCertFile != "" {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.EtcdCertFile, c.EtcdKeyFile)
			if err != nil {
				return nil, fmt.Errorf("reading the client certificate for etcd: %w", err)
			}
			return &pair, nil
		}
	}
	return config, nil
}
