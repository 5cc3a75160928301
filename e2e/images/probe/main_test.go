// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
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

func TestFollowPrintsTheFilesWhenItIsTold(t *testing.T) {
	dir := t.TempDir()
	put := func(value string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "KEY"), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("one")
	if err := os.Mkdir(filepath.Join(dir, "..a"), 0o700); err != nil {
		t.Fatal(err)
	}
	out, in := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- follow(ctx, dir, "127.0.0.1:0", in) }()
	lines := json.NewDecoder(out)
	next := func(want string) {
		t.Helper()
		var files map[string][]byte
		if err := lines.Decode(&files); err != nil || string(files["KEY"]) != want || len(files) != 1 {
			t.Errorf("printed %q, %v, want %s", files, err, want)
		}
	}
	next("one")
	put("two")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	next("two")
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestUnknownArgumentsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"unknown"}, {"write"}, {"get"}, {"print", "more"}} {
		if err := run(t.Context(), args, nil); err == nil {
			t.Errorf("%q: got no error", args)
		}
	}
}
