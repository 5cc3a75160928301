// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"encoding/json"
	"strconv"
)

// patch builds a JSON Patch (RFC 6902). Operations apply in the order they were added, so one that shifts indices of a list comes after those that use
// them. Paths are built from constants and indices only and need no escaping.
type patch struct{ buf []byte }

func (p *patch) add(path string, value any)     { p.op("add", path, value) }
func (p *patch) replace(path string, value any) { p.op("replace", path, value) }

func (p *patch) remove(path string) {
	p.begin("remove", path)
	p.buf = append(p.buf, '}')
}

func (p *patch) op(op, path string, value any) {
	p.begin(op, path)
	p.buf = append(p.buf, `,"value":`...)
	p.buf = append(p.buf, encode(value)...)
	p.buf = append(p.buf, '}')
}

func (p *patch) begin(op, path string) {
	if len(p.buf) == 0 {
		p.buf = append(make([]byte, 0, 4<<10), '[')
	} else {
		p.buf = append(p.buf, ',')
	}
	p.buf = append(p.buf, `{"op":"`...)
	p.buf = append(p.buf, op...)
	p.buf = append(p.buf, `","path":"`...)
	p.buf = append(p.buf, path...)
	p.buf = append(p.buf, '"')
}

// bytes returns the patch, or nil if it has no operation.
func (p *patch) bytes() []byte {
	if len(p.buf) == 0 {
		return nil
	}
	return append(p.buf, ']')
}

// encode marshals values made of our own structs and strings, which cannot fail.
func encode(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}

func at(path string, index int) string { return path + "/" + strconv.Itoa(index) }
