// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
)

// maxBody bounds a request's body: the largest legal value is 64 KiB, of which JSON may write each byte as \u00XX, six bytes; and a consumer's plain values
// are 1 MiB together, mostly text.
const maxBody = 2 << 20

// bounded refuses a body over the limit before anybody has looked at who sent it.
func bounded(c *gin.Context) {
	if c.Request.ContentLength > maxBody {
		refuse(c, &refusal{kind: kindTooLarge, detail: fmt.Sprintf("a request may have %d bytes", maxBody)})
		return
	}
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBody)
}

// readable reads the body and refuses what is not exactly one JSON object in sound UTF-8. encoding/json would replace broken UTF-8 and lone surrogates by
// U+FFFD and take the last of two equal members, and so change a value silently.
func readable(c *gin.Context) {
	if c.Request.Method != http.MethodPost && c.Request.Method != http.MethodPatch && c.Request.Method != http.MethodPut {
		return
	}
	body, err := io.ReadAll(c.Request.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		refuse(c, &refusal{kind: kindTooLarge, detail: fmt.Sprintf("a request may have %d bytes", maxBody)})
		return
	case err != nil:
		refuse(c, &refusal{kind: kindInvalidRequest, detail: "the body ended early"})
		return
	}
	if len(body) == 0 {
		c.Request.Body = http.NoBody
		return
	}
	if media, _, err := mime.ParseMediaType(c.GetHeader("Content-Type")); err != nil || media != "application/json" {
		refuse(c, &refusal{kind: kindMediaType, detail: "send the header Content-Type: application/json"})
		return
	}
	if err := checkJSON(body); err != nil {
		refuse(c, err)
		return
	}
	c.Request.Body = io.NopCloser(bytes.NewReader(body))
	c.Request.ContentLength = int64(len(body))
}

func checkJSON(body []byte) error {
	if !utf8.Valid(body) {
		return &refusal{kind: kindInvalidRequest, detail: "the body is not valid UTF-8; send other bytes as value_base64"}
	}
	if at := loneSurrogate(body); at >= 0 {
		return &refusal{kind: kindInvalidRequest, detail: fmt.Sprintf("the escape at byte %d is half a character; send other bytes as value_base64", at)}
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := checkValue(decoder, 0); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return syntaxError(decoder)
	}
	return nil
}

// maxDepth is more than any request needs.
const maxDepth = 16

// checkValue walks one JSON value and refuses objects in which a member stands twice.
func checkValue(decoder *json.Decoder, depth int) error {
	token, err := decoder.Token()
	if err != nil || depth > maxDepth {
		return syntaxError(decoder)
	}
	delimiter, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for decoder.More() {
		if delimiter == '{' {
			name, err := decoder.Token()
			if err != nil {
				return syntaxError(decoder)
			}
			if seen[name.(string)] {
				return &refusal{kind: kindInvalidRequest, detail: fmt.Sprintf("a member stands twice in the object before byte %d", decoder.InputOffset())}
			}
			seen[name.(string)] = true
		}
		if err := checkValue(decoder, depth+1); err != nil {
			return err
		}
	}
	if _, err := decoder.Token(); err != nil {
		return syntaxError(decoder)
	}
	return nil
}

// syntaxError tells the position only: the text around it may be a value.
func syntaxError(decoder *json.Decoder) error {
	return &refusal{kind: kindInvalidRequest, detail: fmt.Sprintf("the body is not valid JSON at byte %d", decoder.InputOffset())}
}

// loneSurrogate returns the position of a \uD800–\uDFFF escape that is not half of a pair, or -1.
func loneSurrogate(body []byte) int {
	for i := 0; i+5 < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		unit, ok := escape(body[i:])
		switch {
		case !ok:
			i++ // the escaped character is none of ours
		case unit >= 0xdc00 && unit < 0xe000:
			return i
		case unit >= 0xd800 && unit < 0xdc00:
			if low, ok := escape(body[i+6:]); !ok || low < 0xdc00 || low >= 0xe000 {
				return i
			}
			i += 11
		default:
			i += 5
		}
	}
	return -1
}

// escape reads \uXXXX.
func escape(b []byte) (unit uint16, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			unit = unit<<4 | uint16(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			unit = unit<<4 | uint16(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return unit, true
}
