// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/audit"
)

// Limits of devices.
const (
	// MaxDevices is about how many devices may wait at a time: whoever begins needs no credential. Two replicas may exceed it by what they begin at one moment.
	MaxDevices    = 1000
	MaxDeviceLife = 15 * time.Minute
)

// ErrTooMany means that as many as may be there already: devices that wait for a person, or bearers of a federation.
var ErrTooMany = errors.New("too many at a time")

// Device is a program without a browser, such as a command line, that waits for a person to sign in elsewhere and let it in. It is outside the watched range: there
// are few, they live for minutes, and each read of one asks etcd.
type Device struct {
	Meta
	Host      string    `json:"host,omitempty"`   // the machine, as the program calls it
	Client    string    `json:"client,omitempty"` // the program, as it calls itself
	SourceIP  string    `json:"source_ip,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
	// Decision is DeviceWaiting until a person decided, who is Person then.
	Decision DeviceDecision `json:"decision,omitempty"`
	Person   Person         `json:"person,omitzero"`
}

// Person is who signed in.
type Person struct {
	Principal string `json:"principal"`
	Email     string `json:"email,omitempty"`
	Name      string `json:"name,omitempty"`
}

// DeviceDecision is what a person said about a device.
type DeviceDecision string

// The decisions.
const (
	DeviceWaiting  DeviceDecision = ""
	DeviceApproved DeviceDecision = "approved"
	DeviceRefused  DeviceDecision = "refused"
)

// device is a device as it is stored.
type device struct {
	Device
	Hash  []byte `json:"hash"` // SHA-256 of the device code
	Code  string `json:"code"` // where the user code leads here from
	Lease int64  `json:"lease"`
}

// deviceCode is the key of a user code. Its 40 bits would not withstand trying hashes, so it is a MAC. A new primary key ends the devices that wait.
func (s *Store) deviceCode(userCode string) string {
	key := s.keys.Derive("device user code")
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(userCode))
	return s.space.deviceCodes() + hex.EncodeToString(mac.Sum(nil))
}

// CreateDevice lets a device wait. hash is called once, with its id, and returns the SHA-256 of the device code. It returns [ErrExists] if the user code is another
// device's, and [ErrTooMany]. No audit event is written: whoever begins may be anybody, and must not fill the log.
func (s *Store) CreateDevice(ctx context.Context, act Act, n Device, userCode string, hash func(id string) [32]byte) (Device, error) {
	n.Meta, n.ExpiresAt = act.meta(), n.ExpiresAt.UTC().Truncate(time.Millisecond)
	n.Decision, n.Person = DeviceWaiting, Person{}
	for _, text := range []*string{&n.Host, &n.Client, &n.SourceIP} {
		*text = cut(*text)
	}
	if life := n.ExpiresAt.Sub(n.CreatedAt); life <= 0 || life > MaxDeviceLife {
		return Device{}, fmt.Errorf("beginning for a device: %w", invalid("/expires_at", "range", "a device waits for %s at most", MaxDeviceLife))
	}
	rev, err := s.putNewDevice(ctx, n, s.deviceCode(userCode), hash)
	if err != nil {
		return Device{}, fmt.Errorf("beginning for a device: %w", err)
	}
	n.Revision = rev
	return n, nil
}

func (s *Store) putNewDevice(ctx context.Context, n Device, code string, hash func(id string) [32]byte) (int64, error) {
	if err := s.keyErr(); err != nil {
		return 0, err
	}
	limited, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	waiting, err := s.client.Get(limited, s.space.devices(), clientv3.WithPrefix(), clientv3.WithCountOnly())
	switch {
	case err != nil:
		return 0, etcdError(ctx, err)
	case waiting.Count >= MaxDevices:
		return 0, ErrTooMany
	}
	lease, err := s.grant(ctx, n.ExpiresAt.Sub(n.CreatedAt))
	if err != nil {
		return 0, err
	}
	key, sum := s.space.device(n.ID), hash(n.ID)
	record, err := seal(s.keys, key, kindDevice, device{n, sum[:], code, int64(lease)})
	if err != nil {
		return 0, err
	}
	pointer, err := seal(s.keys, code, kindDeviceCode, n.ID)
	if err != nil {
		return 0, err
	}
	resp, err := s.client.Txn(limited).If(absent(key), absent(code)).
		Then(clientv3.OpPut(key, record, clientv3.WithLease(lease)), clientv3.OpPut(code, pointer, clientv3.WithLease(lease))).Commit()
	switch {
	case err != nil:
		return 0, etcdError(ctx, err)
	case !resp.Succeeded:
		return 0, ErrExists
	}
	return resp.Header.Revision, nil
}

// DeviceByCode returns the device a user code was made for while it waits. Everything else is [ErrNotFound].
func (s *Store) DeviceByCode(ctx context.Context, userCode string) (Device, error) {
	code := s.deviceCode(userCode)
	limited, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	resp, err := s.client.Get(limited, code)
	switch {
	case err != nil:
		return Device{}, fmt.Errorf("reading device: %w", etcdError(ctx, err))
	case len(resp.Kvs) == 0:
		return Device{}, fmt.Errorf("device: %w", ErrNotFound)
	}
	var id string
	if err := unseal(s.keys, code, kindDeviceCode, resp.Kvs[0].Value, &id); err != nil {
		return Device{}, fmt.Errorf("reading device: %w", err)
	}
	d, err := s.device(ctx, id)
	if err == nil && (d.Code != code || d.Decision != DeviceWaiting) {
		err = ErrNotFound
	}
	if err != nil {
		return Device{}, fmt.Errorf("device: %w", err)
	}
	return d.Device, nil
}

// PollDevice returns a device, whatever was decided about it, if sum is the hash of its device code and it has not ended. Everything else is [ErrNotFound].
func (s *Store) PollDevice(ctx context.Context, id string, sum [32]byte) (Device, error) {
	d, err := s.deviceOf(ctx, id, sum)
	if err != nil {
		return Device{}, fmt.Errorf("device: %w", err)
	}
	return d.Device, nil
}

// DecideDevice records what a person said about a device that waits. It returns [ErrNotFound] if it does not wait any more: of two decisions, the first one counts.
func (s *Store) DecideDevice(ctx context.Context, act Act, id string, decision DeviceDecision, by Person) error {
	action := audit.DeviceRefuse
	if decision == DeviceApproved {
		action = audit.DeviceApprove
	}
	_, err := s.mutate(ctx, installation, func(*image) (*change, error) {
		d, err := s.device(ctx, id)
		if err != nil {
			return nil, err
		}
		if d.Decision != DeviceWaiting || checkPrincipal(by.Principal) != nil {
			return nil, ErrNotFound
		}
		key := s.space.device(id)
		ch := &change{event: act.event("", action), compares: []clientv3.Cmp{exists(key, d.Revision)}}
		ch.event.ResourceKind, ch.event.ResourceID, ch.event.ResourceName = "device", d.ID, d.Host
		d.Decision, d.Person = decision, Person{by.Principal, cut(by.Email), cut(by.Name)}
		d.update(act)
		record, err := seal(s.keys, key, kindDevice, d)
		if err != nil {
			return nil, err
		}
		// Nothing leads here from the user code any more.
		ch.ops = []clientv3.Op{clientv3.OpPut(key, record, clientv3.WithIgnoreLease()), clientv3.OpDelete(d.Code)}
		return ch, nil
	})
	if err != nil {
		return fmt.Errorf("deciding about a device: %w", err)
	}
	return nil
}

// RedeemDevice makes a session of an approved device, and ends the device in the same transaction: of two that redeem it, one gets a session, and the other
// [ErrNotFound]. The session is of the person who approved; what n says of who and where from is replaced. hash is as for [Store.CreateSession].
func (s *Store) RedeemDevice(ctx context.Context, act Act, id string, sum [32]byte, n Session, hash func(id string) [32]byte) (Session, error) {
	d, err := s.deviceOf(ctx, id, sum)
	if err == nil && d.Decision != DeviceApproved {
		err = ErrNotFound
	}
	if err != nil {
		return Session{}, fmt.Errorf("redeeming device: %w", err)
	}
	n.Principal, n.Email, n.Name, n.Client = d.Person.Principal, d.Person.Email, d.Person.Name, d.Client+" on "+d.Host
	act.Actor = n.Principal
	made, err := s.createSession(ctx, act, n, hash, func(ch *change) error {
		if _, err := s.deviceOf(ctx, id, sum); err != nil { // redeemed by another request since
			return err
		}
		ch.compares = append(ch.compares, exists(s.space.device(id), d.Revision))
		ch.ops = append(ch.ops, clientv3.OpDelete(s.space.device(id)))
		return nil
	})
	if err != nil {
		return Session{}, fmt.Errorf("redeeming device: %w", err)
	}
	return made, nil
}

func (s *Store) deviceOf(ctx context.Context, id string, sum [32]byte) (device, error) {
	d, err := s.device(ctx, id)
	if err == nil && subtle.ConstantTimeCompare(d.Hash, sum[:]) != 1 {
		return device{}, ErrNotFound
	}
	return d, err
}

// device reads a device that has not ended.
func (s *Store) device(ctx context.Context, id string) (device, error) {
	key := s.space.device(id)
	limited, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	resp, err := s.client.Get(limited, key)
	switch {
	case err != nil:
		return device{}, etcdError(ctx, err)
	case len(resp.Kvs) == 0:
		return device{}, ErrNotFound
	}
	var d device
	if err := unseal(s.keys, key, kindDevice, resp.Kvs[0].Value, &d); err != nil {
		return device{}, err
	}
	if d.ID != id {
		return device{}, fmt.Errorf("%w: %w", ErrIntegrity, errMisplaced)
	}
	d.settle(resp.Kvs[0].ModRevision)
	if !now().Before(d.ExpiresAt) { // the lease only tidies up
		return device{}, ErrNotFound
	}
	return d, nil
}
