// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Pages of a full read from an etcd that cannot stream. For every page etcd counts all keys that are left, so few large pages are much faster than many small
// ones; but a key may hold 64 KiB. So the number of keys follows the size of the page before: 256 keys are 16 MiB at most.
const (
	minPageKeys, maxPageKeys   = 256, 4096
	minPageBytes, maxPageBytes = 1 << 20, 4 << 20
)

// scanTimeout bounds a streamed read of everything: 100,000 secrets take a few seconds.
const scanTimeout = time.Minute

type keyValue struct {
	key     string
	value   []byte // nil if only keys were asked for
	rev     int64
	created int64 // the revision the key came at
}

func keyValueOf(kv *mvccpb.KeyValue) keyValue {
	return keyValue{string(kv.Key), kv.Value, kv.ModRevision, kv.CreateRevision}
}

// scan calls yield for every watched key as of revision rev, or of the newest one if rev is 0, and returns that revision. It reads with a quorum.
func (s *Store) scan(ctx context.Context, rev int64, keysOnly bool, yield func(keyValue)) (int64, error) {
	from, to := s.space.watched()
	options := []clientv3.OpOption{clientv3.WithRange(to)}
	if keysOnly {
		options = append(options, clientv3.WithKeysOnly())
	}
	read, err := s.stream(ctx, from, rev, options, yield)
	if status.Code(err) == codes.Unimplemented { // before etcd 3.7, and in the process
		read, err = s.pages(ctx, from, rev, options, yield)
	}
	if err != nil {
		return 0, fmt.Errorf("reading everything: %w", etcdError(ctx, err))
	}
	return read, nil
}

// stream reads in one call, which etcd answers in pieces of its choice.
func (s *Store) stream(ctx context.Context, from string, rev int64, options []clientv3.OpOption, yield func(keyValue)) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, scanTimeout)
	defer cancel()
	pieces, err := s.client.GetStream(ctx, from, append(options[:len(options):len(options)], clientv3.WithRev(rev))...)
	if err != nil {
		return 0, err
	}
	complete := false
	for piece := range pieces { // to its end, or the client's goroutine would wait for ever
		if piece.Err() != nil {
			err = piece.Err()
			continue
		}
		for _, kv := range piece.Kvs {
			yield(keyValueOf(kv))
		}
		if piece.Header != nil { // the last one
			complete = true
			if rev == 0 {
				rev = piece.Header.Revision
			}
		}
	}
	if err == nil && !complete {
		err = errEnded
	}
	return rev, err
}

// pages reads page by page, all at one revision.
func (s *Store) pages(ctx context.Context, from string, rev int64, options []clientv3.OpOption, yield func(keyValue)) (int64, error) {
	limit := int64(minPageKeys)
	for {
		page, cancel := context.WithTimeout(ctx, writeTimeout)
		resp, err := s.client.Get(page, from, append(options[:len(options):len(options)], clientv3.WithRev(rev), clientv3.WithLimit(limit))...)
		cancel()
		if err != nil {
			return 0, err
		}
		if rev == 0 {
			rev = resp.Header.Revision
		}
		size := 0
		for _, kv := range resp.Kvs {
			size += len(kv.Key) + len(kv.Value)
			yield(keyValueOf(kv))
		}
		switch {
		case !resp.More:
			return rev, nil
		case size < minPageBytes:
			limit = min(2*limit, maxPageKeys)
		case size > maxPageBytes:
			limit = max(limit/2, minPageKeys)
		}
		from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
}
