// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/envelope"
)

// A caller who does not hear what became of a mutation repeats it with the same key. So the answer to a mutation with a key is written in the mutation's own
// transaction, and a mutation that finds an answer under its key returns that and does nothing. Answers are kept by day under a hash of caller and key; what
// they hold is encrypted, since a hash of a request that contains a value would let somebody who reads etcd try values. They are outside the watched range.

// DefaultAnswers is how many answers to one caller are kept each day.
const DefaultAnswers = 4096

const (
	answerDay = 24 * time.Hour // an answer is kept for one day at least, for two at most
	// maxAnswer is how large an answer may be: the largest consumer and its answer do not fit into one request to etcd (1.5 MiB).
	maxAnswer = 256 << 10
	// evicted is how many answers make room for new ones at once, so that counting them is paid for seldom.
	evicted = 64
)

// ErrKeyReused means that the key of a mutation belongs to another request of the caller. Nothing was done.
var ErrKeyReused = errors.New("idempotency key belongs to another request")

// ErrAnswerLost means that the mutation was done, by an earlier request with its key, and that its answer was too large to be kept.
var ErrAnswerLost = errors.New("done before, and its answer was not kept")

// Once makes a mutation happen at most once. It is part of an [Act] and serves one mutation.
type Once struct {
	Key     string            // the caller's choice; its scope is the Actor
	Request [sha256.Size]byte // of everything that makes the request what it is
	// Private is kept with the answer and comes back with it: what the answer has beyond the object, such as the text of a token.
	Private []byte
	// Unchanged is set by the store: nothing was written, because everything was as wanted.
	Unchanged bool
}

// answer is the record of an answer. Sealed within it are an answerBody.
type answer struct {
	// Revision is that of the object, for a mutation that changed nothing; else it is that of the answer, which was written together with the object.
	Revision  int64 `json:"revision,omitempty"`
	Unchanged bool  `json:"unchanged,omitempty"`
}

type answerBody struct {
	Request []byte            `json:"request"`
	Private []byte            `json:"private,omitempty"`
	Results []json.RawMessage `json:"results"` // nil if they were too large
}

// answers are the keys one answer may be under, oldest first: replicas may not agree about the day.
type answers struct {
	keys  [3]string // of yesterday, today and tomorrow
	today string    // prefix of the caller's answers of today
}

func (s *Store) answers(act Act, at time.Time) answers {
	caller := sha256.Sum256([]byte(act.Actor))
	key := sha256.Sum256([]byte(act.Once.Key))
	var a answers
	for i := range a.keys {
		prefix := s.space.answers(answerDayOf(at)+int64(i)-1) + hex.EncodeToString(caller[:16]) + "/"
		a.keys[i] = prefix + hex.EncodeToString(key[:])
		if i == 1 {
			a.today = prefix
		}
	}
	return a
}

func answerDayOf(at time.Time) int64 { return at.Unix() / int64(answerDay/time.Second) }

// gets read the answer and count those of the caller; [Store.readAnswer] understands what comes back.
func (a answers) gets() []clientv3.Op {
	return []clientv3.Op{
		clientv3.OpGet(a.keys[0]), clientv3.OpGet(a.keys[1]), clientv3.OpGet(a.keys[2]),
		clientv3.OpGet(a.today, clientv3.WithPrefix(), clientv3.WithCountOnly()),
	}
}

func (a answers) absent() []clientv3.Cmp {
	return []clientv3.Cmp{absent(a.keys[0]), absent(a.keys[1]), absent(a.keys[2])}
}

// recalled is what is known under a key.
type recalled struct {
	done  bool
	rev   int64 // revision of the object
	count int64 // answers of the caller today
}

// readAnswer decodes an answer into results, if there is one. The first result may have a revision, which is set.
func (s *Store) readAnswer(once *Once, responses []*etcdserverpb.ResponseOp, results []any) (recalled, error) {
	r := recalled{count: responses[3].GetResponseRange().Count}
	for _, resp := range responses[:3] {
		kvs := resp.GetResponseRange().Kvs
		if len(kvs) == 0 {
			continue
		}
		key := string(kvs[0].Key)
		var a answer
		sealed, err := unsealWith(s.keys, key, kindAnswer, kvs[0].Value, &a)
		if err != nil {
			return r, fmt.Errorf("answer: %w", err)
		}
		plain, err := s.keys.Open(answerContext(key), sealed)
		if err != nil {
			return r, fmt.Errorf("opening answer: %w", keyError(err))
		}
		defer clear(plain)
		var body answerBody
		if err := json.Unmarshal(plain, &body); err != nil {
			return r, fmt.Errorf("%w: decoding answer: %w", ErrIntegrity, err)
		}
		switch {
		case subtle.ConstantTimeCompare(body.Request, once.Request[:]) != 1:
			return r, ErrKeyReused
		case len(body.Results) != len(results):
			return r, ErrAnswerLost
		}
		for i, result := range results {
			reflect.ValueOf(result).Elem().SetZero() // what the answer leaves out must not stay
			if err := json.Unmarshal(body.Results[i], result); err != nil {
				return r, fmt.Errorf("%w: decoding answer: %w", ErrIntegrity, err)
			}
		}
		r.done, r.rev = true, kvs[0].ModRevision
		if a.Unchanged {
			r.rev = a.Revision
		}
		if object, ok := first(results).(interface{ settleRevision(int64) }); ok {
			object.settleRevision(r.rev)
		}
		once.Unchanged, once.Private = a.Unchanged, body.Private
		return r, nil
	}
	return r, nil
}

// putAnswer returns the write of an answer.
func (s *Store) putAnswer(once *Once, keys answers, results []any, unchanged bool) (clientv3.Op, error) {
	body := answerBody{Request: once.Request[:], Private: once.Private}
	size := 0
	for _, result := range results {
		encoded, err := json.Marshal(result)
		if err != nil {
			return clientv3.Op{}, fmt.Errorf("encoding answer: %w", err)
		}
		size += len(encoded)
		body.Results = append(body.Results, encoded)
	}
	if size > maxAnswer {
		body.Results = nil
	}
	plain, err := json.Marshal(body)
	if err != nil {
		return clientv3.Op{}, fmt.Errorf("encoding answer: %w", err)
	}
	defer clear(plain)
	a := answer{Unchanged: unchanged}
	if object, ok := first(results).(interface{ revision() int64 }); ok && unchanged {
		a.Revision = object.revision()
	}
	key := keys.keys[1]
	sealed, err := s.keys.Seal(answerContext(key), plain)
	if err != nil {
		return clientv3.Op{}, fmt.Errorf("sealing answer: %w", err)
	}
	record, err := sealWith(s.keys, key, kindAnswer, a, sealed)
	return clientv3.OpPut(key, record), err
}

func answerContext(key string) envelope.Context {
	return envelope.Context{Org: installation, Secret: kindAnswer, Key: key}
}

// Recall fills results with what the mutation with the act's key returned, and reports whether there was one. They must be pointers to what that mutation
// returns, in its order. Without a key there is none. It returns [ErrKeyReused] or [ErrAnswerLost].
func (s *Store) Recall(ctx context.Context, act Act, results ...any) (bool, error) {
	if act.Once == nil {
		return false, nil
	}
	if err := s.keyErr(); err != nil {
		return false, err
	}
	limited, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	resp, err := s.client.Txn(limited).Then(s.answers(act, now()).gets()...).Commit()
	if err != nil {
		return false, fmt.Errorf("reading answer: %w", etcdError(ctx, err))
	}
	r, err := s.readAnswer(act.Once, resp.Responses, results)
	return r.done, err
}

// Keep writes the answer to a request that mutates nothing. If there is one already, results become that.
func (s *Store) Keep(ctx context.Context, act Act, results ...any) error {
	if act.Once == nil {
		return nil
	}
	if err := s.keyErr(); err != nil {
		return err
	}
	keys := s.answers(act, now())
	put, err := s.putAnswer(act.Once, keys, results, false)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	resp, err := s.client.Txn(limited).If(keys.absent()...).Then(put).Else(keys.gets()...).Commit()
	switch {
	case err != nil:
		return fmt.Errorf("keeping answer: %w", etcdError(ctx, err))
	case !resp.Succeeded:
		_, err = s.readAnswer(act.Once, resp.Responses, results)
	}
	return err
}

// keepUnchanged writes the answer to a mutation that found nothing to do at tip. It returns errContention if there was another mutation since.
func (s *Store) keepUnchanged(ctx context.Context, act Act, keys answers, tip int64, results []any) error {
	put, err := s.putAnswer(act.Once, keys, results, true)
	if err != nil {
		return err
	}
	act.Once.Unchanged = true
	limited, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	resp, err := s.client.Txn(limited).If(append(keys.absent(), exists(s.space.tip(), tip))...).Then(put).Commit()
	switch {
	case err != nil:
		return fmt.Errorf("keeping answer: %w", etcdError(ctx, err))
	case !resp.Succeeded:
		return errContention
	}
	return nil
}

// evictAnswers makes room for new answers to a caller who has too many of today: the oldest go.
func (s *Store) evictAnswers(ctx context.Context, keys answers) error {
	limited, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	oldest, err := s.client.Get(limited, keys.today, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithLimit(evicted),
		clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend))
	if err != nil {
		return fmt.Errorf("reading old answers: %w", etcdError(ctx, err))
	}
	var ops []clientv3.Op
	for _, kv := range oldest.Kvs {
		ops = append(ops, clientv3.OpDelete(string(kv.Key)))
	}
	_, err = s.client.Txn(limited).Then(ops...).Commit()
	return etcdError(ctx, err)
}

// dropAnswers removes the answers of the day before yesterday and all before it.
func (s *Store) dropAnswers(ctx context.Context) { s.dropAnswersAt(ctx, now()) }

func (s *Store) dropAnswersAt(ctx context.Context, at time.Time) {
	limited, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if _, err := s.client.Delete(limited, s.space.answers(0), clientv3.WithRange(s.space.answers(answerDayOf(at)-1))); err != nil && ctx.Err() == nil {
		s.log.Warn("old answers not dropped", "err", err)
	}
}

func first(results []any) any {
	if len(results) == 0 {
		return nil
	}
	return results[0]
}
