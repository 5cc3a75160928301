// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"path/filepath"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/embedded"
	"github.com/lanyard-dev/lanyard/registry/store"
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
	client, err := store.Dial(store.Endpoints{
		URLs: r.config.EtcdEndpoints, CAFile: r.config.EtcdCAFile, CertFile: r.config.EtcdCertFile, KeyFile: r.config.EtcdKeyFile,
		Plaintext: r.config.EtcdPlaintext,
	})
	if err != nil {
		return etcd{}, err
	}
	return etcd{client, client.Close}, nil
}
