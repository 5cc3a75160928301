// SPDX-License-Identifier: Apache-2.0

// Package storetest gives tests a real store: an etcd in the process, on a temporary directory, and key rings made for the test.
package storetest

import (
	"context"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/embedded"
	"github.com/lanyard-dev/lanyard/registry/envelope"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Etcd starts an etcd that stops with the test, and returns a client and the data directory.
func Etcd(t testing.TB) (client *clientv3.Client, dir string) {
	t.Helper()
	dir = t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server, err := embedded.Start(ctx, dir, embedded.Options{UnsafeNoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server.Client(), dir
}

// Key returns a new key.
func Key(t testing.TB) envelope.Key {
	t.Helper()
	key, err := envelope.ParseKey(envelope.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Ring returns a ring of the keys, the first one the primary.
func Ring(t testing.TB, primary envelope.Key, others ...envelope.Key) *envelope.Ring {
	t.Helper()
	ring, err := envelope.NewRing(primary, others...)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// Start opens a store on an etcd and with a ring of its own, and runs it until the test ends.
func Start(t testing.TB) *store.Store {
	t.Helper()
	client, _ := Etcd(t)
	return Open(t, store.Config{Client: client, Keys: Ring(t, Key(t))})
}

// Open opens a store, runs it until the test ends.
func Open(t testing.TB, config store.Config) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	Run(t, s)
	return s
}

// Run runs a store until the test ends.
func Run(t testing.TB, s *store.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("running store: %v", err)
		}
	})
}

// Act is who tests act as.
var Act = store.Act{Actor: "token:test", RequestID: "test"}
