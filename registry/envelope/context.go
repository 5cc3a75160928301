// SPDX-License-Identifier: Apache-2.0

package envelope

import "encoding/binary"

// Context says which value an envelope holds. It is authenticated, not stored:
// a reader builds it from what it was asked for, never from what it found, so
// that an envelope copied elsewhere does not open.
//
// Org and Secret are the immutable ids, not names: a rename costs nothing and
// a reused name resurrects nothing. For credentials of another kind of object
// Secret is that object's id. All are compared byte for byte; use the
// canonical lower-case form of a UUID. Org, Secret and Key must not be empty.
type Context struct {
	Org     string // organization id
	Secret  string // secret id
	Version uint64 // version number within the secret
	Key     string // full etcd key the envelope is stored under
}

func (c Context) check() error {
	if c.Org == "" || c.Secret == "" || c.Key == "" {
		return ErrContext
	}
	return nil
}

// encode is injective: two different contexts never encode to equal bytes.
func (c Context) encode() []byte {
	const fields = 5
	b := make([]byte, 0, fields*fieldHeader+len(schema)+len(c.Org)+len(c.Secret)+8+len(c.Key))
	b = appendField(b, 1, schema)
	b = appendField(b, 2, c.Org)
	b = appendField(b, 3, c.Secret)
	b = binary.BigEndian.AppendUint64(appendHeader(b, 4, 8), c.Version)
	return appendField(b, 5, c.Key)
}
