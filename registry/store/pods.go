// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Pod names a pod of a cluster.
type Pod struct{ Namespace, Name, UID string }

// GrantedPods returns every pod of a cluster that received something, of whatever organization. It reads keys only: about 200 bytes a pod.
func (s *Store) GrantedPods(ctx context.Context, cluster string) ([]Pod, error) {
	var pods []Pod
	err := s.podKeys(ctx, cluster, func(_ string, p Pod) {
		pods = append(pods, p)
	})
	return distinct(pods), err
}

// ForgetPods removes what pods of a cluster received, because they are gone: a uid never comes back.
func (s *Store) ForgetPods(ctx context.Context, cluster string, gone []Pod) error {
	if len(gone) == 0 {
		return nil
	}
	wanted := make(map[Pod]struct{}, len(gone))
	for _, p := range gone {
		wanted[p] = struct{}{}
	}
	var keys []string
	err := s.podKeys(ctx, cluster, func(key string, p Pod) {
		if _, ok := wanted[p]; ok {
			keys = append(keys, key)
		}
	})
	if err != nil {
		return err
	}
	for len(keys) > 0 {
		n := min(len(keys), maxGrants)
		ops := make([]clientv3.Op, n)
		for i, key := range keys[:n] {
			ops[i] = clientv3.OpDelete(key)
		}
		limited, cancel := context.WithTimeout(ctx, writeTimeout)
		_, err := s.client.Txn(limited).Then(ops...).Commit()
		cancel()
		if err != nil {
			return fmt.Errorf("forgetting pods: %w", etcdError(ctx, err))
		}
		keys = keys[n:]
	}
	return nil
}

func distinct(pods []Pod) []Pod {
	seen := make(map[Pod]struct{}, len(pods))
	kept := pods[:0]
	for _, p := range pods {
		if _, ok := seen[p]; !ok {
			seen[p] = struct{}{}
			kept = append(kept, p)
		}
	}
	return kept
}

func (s *Store) podKeys(ctx context.Context, cluster string, yield func(key string, p Pod)) error {
	return s.walkGrantKeys(ctx, s.space.allGrants(), func(key string, p podKey) {
		if p.cluster == cluster {
			yield(key, Pod{p.namespace, p.pod, p.uid})
		}
	})
}

// walkGrantKeys yields the keys of grants below a prefix, all as of one revision.
func (s *Store) walkGrantKeys(ctx context.Context, prefix string, yield func(key string, p podKey)) error {
	const page = 4096
	_, err := s.walk(ctx, "workloads", prefix, clientv3.GetPrefixRangeEnd(prefix), page, func(kv keyValue) error {
		if p, ok := s.space.parseGrant(kv.key); ok {
			yield(kv.key, p)
		}
		return nil
	}, clientv3.WithKeysOnly())
	return err
}
