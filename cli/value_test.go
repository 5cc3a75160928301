// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"testing"
)

func pemOf(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

func TestWhatIsGeneratedIsAskedFor(t *testing.T) {
	for spec, want := range map[string]string{"40": "40 alphanumeric", "40:alnum": "40 alphanumeric", "64:hex": "64 hex", "x": "", "0": "", "70000": "", "8:emoji": "", "-1": ""} {
		have := ""
		if g, err := (&valueFlags{generate: spec}).random(); err == nil {
			have = fmt.Sprint(*g.Length, " ", *g.Charset)
		}
		if have != want {
			t.Errorf("%q: %q, want %q", spec, have, want)
		}
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
