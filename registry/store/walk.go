// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// errEnough ends a walk early and is no error of it.
var errEnough = errors.New("enough")

// walk yields the keys from one to before another, in their order, page by page and all as of one revision, until yield returns an error, which it returns. what names
// them in an error of its own. rev is the revision.
func (s *Store) walk(ctx context.Context, what, from, end string, page int64, yield func(keyValue) error, options ...clientv3.OpOption) (rev int64, err error) {
	for {
		limited, cancel := context.WithTimeout(ctx, readTimeout)
		all := append(options[:len(options):len(options)], clientv3.WithRange(end), clientv3.WithLimit(page), clientv3.WithRev(rev))
		resp, err := s.client.Get(limited, from, all...)
		cancel()
		if err != nil {
			return 0, fmt.Errorf("reading %s: %w", what, etcdError(ctx, err))
		}
		if rev == 0 {
			rev = resp.Header.Revision
		}
		for _, kv := range resp.Kvs {
			from = string(kv.Key) + "\x00"
			if err := yield(keyValueOf(kv)); errors.Is(err, errEnough) {
				return rev, nil
			} else if err != nil {
				return 0, err
			}
		}
		if !resp.More {
			return rev, nil
		}
	}
}

// walkKeys walks what is below a prefix.
func (s *Store) walkKeys(ctx context.Context, prefix string, yield func(key string, value []byte, rev int64) error) error {
	const page = 256
	_, err := s.walk(ctx, strings.TrimPrefix(prefix, string(s.space)), prefix, clientv3.GetPrefixRangeEnd(prefix), page, func(kv keyValue) error {
		return yield(kv.key, kv.value, kv.rev)
	})
	return err
}
