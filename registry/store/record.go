// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lanyard-dev/lanyard/registry/envelope"
)

// Keys seals and opens everything the store writes. [envelope.Ring] is one that never changes; keydir.Keyring follows a directory. An implementation must
// be safe for concurrent use, and its methods return the errors of package envelope.
type Keys interface {
	Primary() envelope.KID
	KIDs() []envelope.KID
	KeyCheck(envelope.KID) ([]byte, error)
	VerifyKeyCheck(envelope.KID, []byte) error
	SealRecord(key, kind string, payload []byte) []byte
	OpenRecord(key, kind string, record []byte) ([]byte, error)
	Seal(envelope.Context, []byte) ([]byte, error)
	Open(envelope.Context, []byte) ([]byte, error)
	Derive(purpose string) [32]byte
}

// keyError translates an error of package envelope into one of this package.
func keyError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, envelope.ErrUnknownKey):
		return fmt.Errorf("%w: %w", ErrKey, err)
	}
	return fmt.Errorf("%w: %w", ErrIntegrity, err)
}

// seal returns the record of an object, to be put under key.
func seal(keys Keys, key, kind string, object any) (string, error) {
	payload, err := json.Marshal(object)
	if err != nil {
		return "", fmt.Errorf("encoding %s: %w", kind, err)
	}
	return string(keys.SealRecord(key, kind, payload)), nil
}

// unseal verifies a record and decodes its payload into object.
func unseal(keys Keys, key, kind string, record []byte, object any) error {
	payload, err := keys.OpenRecord(key, kind, record)
	if err != nil {
		return keyError(err)
	}
	if err := json.Unmarshal(payload, object); err != nil {
		return fmt.Errorf("%w: decoding %s: %w", ErrIntegrity, kind, err)
	}
	return nil
}

// sealWith returns the record of an object that has an envelope, a version or a provider: the length of its metadata (uvarint), the metadata as JSON, the envelope.
// Binary, because base64 would make the largest ones a third larger.
func sealWith(keys Keys, key, kind string, object any, sealed []byte) (string, error) {
	meta, err := json.Marshal(object)
	if err != nil {
		return "", fmt.Errorf("encoding %s: %w", kind, err)
	}
	payload := binary.AppendUvarint(make([]byte, 0, binary.MaxVarintLen64+len(meta)+len(sealed)), uint64(len(meta)))
	payload = append(payload, meta...)
	payload = append(payload, sealed...)
	return string(keys.SealRecord(key, kind, payload)), nil
}

// unsealWith verifies such a record and decodes its metadata into object. The envelope it returns aliases record.
func unsealWith(keys Keys, key, kind string, record []byte, object any) (sealed []byte, err error) {
	payload, err := keys.OpenRecord(key, kind, record)
	if err != nil {
		return nil, keyError(err)
	}
	size, n := binary.Uvarint(payload)
	if n <= 0 || size > uint64(len(payload)-n) {
		return nil, fmt.Errorf("%w: %s record is cut", ErrIntegrity, kind)
	}
	meta, sealed := payload[n:n+int(size)], payload[n+int(size):]
	if err := json.Unmarshal(meta, object); err != nil {
		return nil, fmt.Errorf("%w: decoding %s: %w", ErrIntegrity, kind, err)
	}
	return sealed, nil
}
