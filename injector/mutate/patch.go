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

// addEnv adds one ENV of a block.
func (p *patch) addEnv(path string, b envBlock, name string) {
	p.begin("add", path)
	p.buf = append(p.buf, `,"value":`...)
	p.buf = b.append(p.buf, name)
	p.buf = append(p.buf, '}')
}

// addEnvs adds a whole list of them.
func (p *patch) addEnvs(path string, b envBlock) {
	p.begin("add", path)
	p.buf = append(p.buf, `,"value":[`...)
	for i, env := range b.envs {
		if i > 0 {
			p.buf = append(p.buf, ',')
		}
		p.buf = b.append(p.buf, env.Name)
	}
	p.buf = append(p.buf, "]}"...)
}

// appendString quotes a name. Names are identifiers; whatever else a registry sends goes the long way and cannot leave its string.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return append(dst, encode(s)...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
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
