// SPDX-License-Identifier: Apache-2.0

package envelope

import "encoding/binary"

// Labels separate the uses of one key. No label may be a prefix of another.
const (
	schema = "lanyard/v1"

	labelKID    = schema + "/kid"
	labelKCV    = schema + "/kcv"
	labelMAC    = schema + "/mac"
	labelRecord = schema + "/rec"
	labelWrap   = schema + "/wrap"
	labelEnc    = schema + "/enc"
	labelCommit = schema + "/commit"
	labelDerive = schema + "/derive"
)

// fieldHeader is the size of a field's position and length.
const fieldHeader = 1 + 8

// appendHeader starts the field at position pos. Eight bytes of length cannot
// wrap, whatever a caller passes.
func appendHeader(b []byte, pos byte, n int) []byte {
	return binary.BigEndian.AppendUint64(append(b, pos), uint64(n))
}

func appendField[T string | []byte](b []byte, pos byte, field T) []byte {
	return append(appendHeader(b, pos, len(field)), field...)
}
