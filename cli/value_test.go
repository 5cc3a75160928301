// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"encoding/pem"
	"net/http/httptest"
	"strings"
	"testing"
)

func pemOf(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

func TestGeneratedValuesUseEveryCharacterOfTheirSet(t *testing.T) {
	for name, characters := range charsets {
		if strings.ContainsAny(characters, "'\"\\$` \n") {
			t.Errorf("%s holds a character that needs quoting", name)
		}
		v, err := generate("20000:" + name)
		if err != nil {
			t.Fatal(err)
		}
		value := v.Reveal()
		if len(value) != 20000 {
			t.Errorf("%s: wrong length", name)
		}
		// Each character is expected at least 200 times; half of that is 7 standard deviations away.
		for _, c := range []byte(characters) {
			if n := bytes.Count(value, []byte{c}); n < 20000/len(characters)/2 {
				t.Errorf("%s: %q only %d times", name, c, n)
			}
		}
		if strings.Trim(string(value), characters) != "" {
			t.Errorf("%s: characters of no set", name)
		}
	}
	one, _ := generate("32")
	two, _ := generate("32")
	if bytes.Equal(one.Reveal(), two.Reveal()) {
		t.Error("twice the same")
	}
}

func TestOnlySafeServersAreSentAToken(t *testing.T) {
	for server, ok := range map[string]bool{
		"https://lanyard.example": true, "https://lanyard.example:8443/prefix": true, "http://127.0.0.1:8080": true, "http://[::1]:8080": true, "http://localhost:8080": true,
		"http://lanyard.example": false, "http://127.0.0.1.example": false, "http://localhost.example": false, "https://user:pass@lanyard.example": false,
		"https://lanyard.example?x": false, "lanyard.example": false, "": false, "file:///etc": false, "https://": false,
	} {
		if err := checkServer(server); (err == nil) != ok {
			t.Errorf("%q: %v", server, err)
		}
	}
}
