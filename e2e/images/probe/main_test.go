// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

func TestPrintKeepsEveryByteOfAValue(t *testing.T) {
	const value = "line\nbreak \xff\xfe 'quoted' = sign"
	t.Setenv("PROBE_TEST", value)
	var out bytes.Buffer
	if err := run(t.Context(), []string{"print"}, &out); err != nil {
		t.Fatal(err)
	}
	var got map[string][]byte
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if string(got["PROBE_TEST"]) != value {
		t.Errorf("got %q, want %q", got["PROBE_TEST"], value)
	}
}

func TestWriteAndGet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "env")
	if err := run(t.Context(), []string{"write", path, "A='1'", "B='2'"}, nil); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "A='1'\nB='2'\n" {
		t.Errorf("got %q, %v", content, err)
	}

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	}))
	defer server.Close()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"get", server.URL}, &out); err != nil || out.String() != "418 I'm a teapot\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

func TestUnknownArgumentsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"unknown"}, {"write"}, {"get"}, {"print", "more"}} {
		if err := run(t.Context(), args, nil); err == nil {
			t.Errorf("%q: got no error", args)
		}
	}
}
