// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/envelope"
)

// schemaVersion is what this release writes, reads and understands.
const schemaVersion = 1

// schema tells which releases may use the records: a release of schema n reads if n ≥ MinReader and writes if n ≥ MinWriter.
type schema struct {
	Current   int `json:"current"`
	MinReader int `json:"min_reader"`
	MinWriter int `json:"min_writer"`
}

// keyCheck lets a ring prove that it has the key the records were written with.
type keyCheck struct {
	KCV   []byte `json:"kcv"`
	State string `json:"state"` // "active", or "retired": no record needs the key any more
}

const (
	keyActive  = "active"
	keyRetired = "retired"
)

// Errors that no waiting repairs.
var (
	// ErrSchema means that a newer release wrote the records.
	ErrSchema = errors.New("schema is newer than this release")
	// ErrForeign means that the prefix holds data but not what every installation has, so it is not initialized.
	ErrForeign = errors.New("prefix holds data without key-check and schema records; restore them, or use an empty prefix")
)

// checkFormat initializes an empty prefix, or checks that the records there are for this release and this ring.
func (s *Store) checkFormat(ctx context.Context) error {
	if err := s.initialize(ctx); err != nil {
		return err
	}
	return s.checkKeys(ctx)
}

// initialize writes schema, key-check record and tip if there is no key at all under the prefix; the transaction compares that, so that of many replicas one
// does it, and none ever over existing data.
func (s *Store) initialize(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	primary := s.keys.Primary()
	check, err := s.sealKeyCheck(primary)
	if err != nil {
		return err
	}
	record, err := seal(s.keys, s.space.schema(), kindSchema, schema{schemaVersion, schemaVersion, schemaVersion})
	if err != nil {
		return err
	}
	resp, err := s.client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(string(s.space)), "=", 0).WithRange(s.space.end())).
		Then(
			clientv3.OpPut(s.space.schema(), record),
			clientv3.OpPut(s.space.keyCheck(primary.String()), check),
			clientv3.OpPut(s.space.tip(), s.sealTip()),
		).Commit()
	if err != nil {
		return fmt.Errorf("initializing: %w", etcdError(ctx, err))
	}
	if resp.Succeeded {
		s.log.Info("store initialized", "prefix", string(s.space), "kid", primary.String())
	}
	return nil
}

func (s *Store) sealKeyCheck(kid envelope.KID) (string, error) {
	kcv, err := s.keys.KeyCheck(kid)
	if err != nil {
		return "", keyError(err)
	}
	return seal(s.keys, s.space.keyCheck(kid.String()), kindKeyCheck, keyCheck{kcv, keyActive})
}

func (s *Store) sealTip() string { return string(s.keys.SealRecord(s.space.tip(), kindTip, nil)) }

// checkKeys compares every key-check record with the ring and remembers the outcome; a missing key is not an error of it. If all is well the primary gets a
// key-check record, and the schema is checked.
func (s *Store) checkKeys(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	state := &keyState{primary: s.keys.Primary(), kids: fmt.Sprint(s.keys.KIDs())}
	resp, err := s.client.Txn(ctx).Then(
		clientv3.OpGet(s.space.keyChecks(), clientv3.WithPrefix()),
		clientv3.OpGet(s.space.schema()),
	).Commit()
	if err != nil {
		return fmt.Errorf("reading key checks: %w", etcdError(ctx, err))
	}
	checks, schemas := resp.Responses[0].GetResponseRange().Kvs, resp.Responses[1].GetResponseRange().Kvs
	if len(checks) == 0 || len(schemas) == 0 {
		return ErrForeign
	}
	known := false
	for _, kv := range checks {
		name := strings.TrimPrefix(string(kv.Key), s.space.keyChecks())
		known = known || name == state.primary.String()
		if err := s.checkKey(name, kv.Value); err != nil {
			state.err = errors.Join(state.err, err)
		}
	}
	if state.err != nil {
		s.keyState.Store(state)
		s.log.Error("store is not ready", "err", state.err)
		return nil
	}
	if err := s.checkSchema(schemas[0].Value); err != nil {
		return err
	}
	if !known {
		record, err := s.sealKeyCheck(state.primary)
		if err != nil {
			return err
		}
		key := s.space.keyCheck(state.primary.String())
		if _, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).Then(clientv3.OpPut(key, record)).Commit(); err != nil {
			return fmt.Errorf("writing key check: %w", etcdError(ctx, err))
		}
		s.log.Info("key is in use", "kid", state.primary.String())
	}
	s.keyState.Store(state)
	return nil
}

// checkKey returns an error wrapping ErrKey if the ring lacks the key named kid or has another one under its name.
func (s *Store) checkKey(name string, record []byte) error {
	kid, err := envelope.ParseKID(name)
	if err != nil {
		return fmt.Errorf("%w: key check %q: %w", ErrKey, name, err)
	}
	var check keyCheck
	if err := unseal(s.keys, s.space.keyCheck(name), kindKeyCheck, record, &check); err != nil {
		return fmt.Errorf("%w: key %s: %w", ErrKey, kid, err)
	}
	if check.State == keyRetired {
		return nil
	}
	if err := s.keys.VerifyKeyCheck(kid, check.KCV); err != nil {
		return fmt.Errorf("%w: key %s: %w", ErrKey, kid, err)
	}
	return nil
}

func (s *Store) checkSchema(record []byte) error {
	var have schema
	if err := unseal(s.keys, s.space.schema(), kindSchema, record, &have); err != nil {
		return fmt.Errorf("reading schema: %w", err)
	}
	if have.MinReader > schemaVersion || have.MinWriter > schemaVersion {
		return fmt.Errorf("%w: records are of version %d, readers need %d, writers %d, this release has %d", ErrSchema, have.Current, have.MinReader, have.MinWriter, schemaVersion)
	}
	return nil
}

// followKeys notices that the ring was replaced: it checks the keys again and verifies everything with the new ring.
func (s *Store) followKeys(ctx context.Context) {
	state := s.keyState.Load()
	if state != nil && state.primary == s.keys.Primary() && state.kids == fmt.Sprint(s.keys.KIDs()) {
		return
	}
	if err := s.checkKeys(ctx); err != nil {
		s.log.Warn("key checks did not complete", "err", err)
		return
	}
	if s.keyErr() == nil && len(s.image().broken) == 0 {
		return // nothing was waiting for a key
	}
	if err := s.reload(ctx); err != nil {
		s.keyState.Store(state) // look again
		s.log.Warn("full read of etcd did not complete", "err", err)
	}
}
