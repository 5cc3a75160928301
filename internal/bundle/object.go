// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// parseJSON reads one object of strings. Numbers are refused: 1.10 and 1e3 would not come out as they were written.
func parseJSON(content []byte) ([]Item, error) {
	var l list
	err := members(content, func(name, value string) error { return l.add(name, []byte(value), "") })
	return l.items, err
}

// members calls visit for every member of a JSON object of strings, duplicates included.
func members(content []byte, visit func(name, value string) error) error {
	if !utf8.Valid(content) { // encoding/json would replace what is not, silently
		return refuse("it is not valid UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return refuse("it is not a JSON object")
	}
	broken := func(n int) error { return refuse("it is not valid JSON after %d items", n) }
	n := 0
	for ; decoder.More(); n++ {
		token, err := decoder.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return broken(n)
		}
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return broken(n)
		}
		var value *string
		if err := json.Unmarshal(raw, &value); err != nil || value == nil {
			return refuse("%q is not a string", name)
		}
		if strings.ContainsRune(*value, utf8.RuneError) { // what encoding/json makes of half a surrogate pair
			return refuse("%q holds U+FFFD or an escape that is no character", name)
		}
		if err := visit(name, *value); err != nil {
			return err
		}
	}
	if _, err := decoder.Token(); err != nil {
		return broken(n)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return refuse("something follows the JSON object")
	}
	return nil
}
