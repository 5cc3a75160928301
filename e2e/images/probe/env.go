// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// env returns the environment: name → value. encoding/json writes the values,
// being byte slices, as base64.
func env() map[string][]byte {
	values := make(map[string][]byte)
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		values[name] = []byte(value)
	}
	return values
}

func printEnv(w io.Writer) error { return json.NewEncoder(w).Encode(env()) }

// printFiles prints name → content of the files in dir.
func printFiles(dir string, w io.Writer) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	files := make(map[string][]byte)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "..") { // what refreshed files are links into
			continue
		}
		if files[entry.Name()], err = os.ReadFile(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return json.NewEncoder(w).Encode(files)
}

// follow prints the files of dir, and prints them again for every SIGHUP and every POST /reload on address.
func follow(ctx context.Context, dir, address string, stdout io.Writer) error {
	hup := make(chan os.Signal, 8)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	posts := make(chan chan error)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, r *http.Request) {
		done := make(chan error, 1)
		select {
		case posts <- done:
		case <-r.Context().Done():
			return
		}
		if err := <-done; err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	if err := printFiles(dir, stdout); err != nil {
		return err
	}
	for {
		select {
		case <-hup:
			if err := printFiles(dir, stdout); err != nil {
				return err
			}
		case done := <-posts:
			done <- printFiles(dir, stdout)
		case <-ctx.Done():
			return nil
		}
	}
}

func serve(ctx context.Context, address string, stdout io.Writer) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	if err := printEnv(stdout); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /env", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = printEnv(w)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}
