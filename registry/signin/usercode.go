// SPDX-License-Identifier: Apache-2.0

package signin

import (
	"crypto/rand"
	"strings"
)

// A user code has 40 random bits: 8 of 32 characters. Those that are taken for each other, I L O U, are none of them, and are read as what they were taken for.
const (
	userCodeSize     = 8
	userCodeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)

func newUserCode() string {
	code := make([]byte, userCodeSize)
	rand.Read(code)
	for i, b := range code {
		code[i] = userCodeAlphabet[b%32]
	}
	return string(code)
}

// shownUserCode is how a person reads it.
func shownUserCode(code string) string { return code[:userCodeSize/2] + "-" + code[userCodeSize/2:] }

var misread = strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1")

// readUserCode returns what a person typed as a code, or false if it cannot be one.
func readUserCode(typed string) (code string, ok bool) {
	if len(typed) > 4*userCodeSize {
		return "", false
	}
	code = misread.Replace(strings.ToUpper(typed))
	if len(code) != userCodeSize || strings.Trim(code, userCodeAlphabet) != "" {
		return "", false
	}
	return code, true
}
