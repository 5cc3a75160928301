// SPDX-License-Identifier: Apache-2.0

package api

import (
	"crypto/rand"
	"math"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

const (
	digits  = "0123456789"
	letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// charsets hold no quote, backslash, dollar, backtick or blank: what is generated passes through shells, the queries of URLs and .env files.
var charsets = map[contract.Charset]string{ // :: name → characters
	contract.CharsetAlphanumeric: digits + letters,
	contract.CharsetASCII:        digits + letters + "!#%&()*+,-./:;<=>?@[]^_{|}~",
	contract.CharsetBase64URL:    digits + letters + "-_",
	contract.CharsetDigits:       digits,
	contract.CharsetHex:          "0123456789abcdef",
}

// defaultLength of 32 letters and digits are 190 bits.
const defaultLength = 32

// minEntropy is the least a generated value may have, in bits: what nobody can try through, neither here nor against a hash somebody took.
const minEntropy = 64

// generate makes a value that nobody has seen. Each character is drawn with the same probability. The caller wipes it.
func generate(g contract.Generate) (*redact.Value, error) {
	characters := charsets[or(g.Charset, contract.CharsetAlphanumeric)]
	length := or(g.Length, defaultLength)
	bits := math.Log2(float64(len(characters)))
	if least := int(math.Ceil(minEntropy / bits)); length < least || length > wire.MaxValueBytes {
		return nil, field("/generate/length", "range", "it must be %d to %d with these characters, so that nobody can guess the value", least, wire.MaxValueBytes)
	}
	value := make([]byte, 0, length)
	fair := 256 - 256%len(characters) // bytes from here on would favour the first characters
	random := make([]byte, 256)
	defer clear(random)
	for len(value) < length {
		rand.Read(random)
		for _, b := range random {
			if int(b) < fair && len(value) < length {
				value = append(value, characters[int(b)%len(characters)])
			}
		}
	}
	v := redact.New(value)
	return &v, nil
}
