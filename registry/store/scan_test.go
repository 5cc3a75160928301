// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

// remote starts an etcd behind a socket, which can stream, and returns a client that talks to it as to any other.
func remote(t *testing.T) *clientv3.Client {
	t.Helper()
	config := embed.NewConfig()
	config.Dir = t.TempDir()
	self := url.URL{Scheme: "http", Host: "localhost:2380"}
	socket := url.URL{Scheme: "unix", Path: filepath.Join(t.TempDir(), "etcd.sock")}
	config.ListenPeerUrls, config.AdvertisePeerUrls = nil, []url.URL{self}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{socket}, []url.URL{socket}
	config.InitialCluster = config.Name + "=" + self.String()
	config.TickMs, config.ElectionMs = 50, 250
	config.UnsafeNoFsync = true
	config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	<-etcd.Server.ReadyNotify()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{socket.String()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func TestEverythingIsReadInManyPieces(t *testing.T) {
	inProcess, _ := storetest.Etcd(t)
	for name, client := range map[string]*clientv3.Client{"page by page": inProcess, "as a stream": remote(t)} {
		t.Run(name, func(t *testing.T) {
			config := store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))}
			s := storetest.Open(t, config)
			o := organization(t, s, "acme")
			large := strings.Repeat("x", wire.MaxValueBytes)
			const secrets = 400 // four keys each, more than a page, and the values more than 16 MiB
			for i := range secrets {
				local(t, s, o.ID, fmt.Sprintf("s%03d", i), large[:len(large)/(1+i%2*100)])
			}
			again := storetest.Open(t, config)
			view, err := again.View(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for i := range secrets {
				secret, err := again.Secret(t.Context(), o.ID, fmt.Sprintf("s%03d", i))
				if err != nil {
					t.Fatal(err)
				}
				value, err := view.OpenVersion(o.ID, secret.ID, 1)
				if err != nil || len(value.Reveal()) != len(large)/(1+i%2*100) {
					t.Fatalf("secret %d: %d bytes, %v", i, len(value.Reveal()), err)
				}
			}
			if stats := again.Stats(); stats != (store.Stats{Reloads: 1, BarrierReads: stats.BarrierReads}) {
				t.Errorf("got %+v", stats)
			}
		})
	}
}
