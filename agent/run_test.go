// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/execfile"
	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

const canary = "cAnArY-93c1"

// newConfig returns the Config of a pod that asks the server for containers.
func newConfig(tb testing.TB, s *httptest.Server, containers ...wire.ContainerRequest) Config {
	tb.Helper()
	dir := tb.TempDir()
	c := Config{
		URL: s.URL, ServerName: "example.com", CA: x509.NewCertPool(), Deadline: time.Minute,
		Request:        wire.ResolveRequest{Protocol: wire.Protocol, Containers: containers},
		TokenFile:      filepath.Join(dir, "token"),
		TerminationLog: filepath.Join(dir, "termination-log"),
		Dir:            filepath.Join(dir, "env"),
		BinDir:         filepath.Join(dir, "bin"),
		ValuesDir:      filepath.Join(dir, "values"),
	}
	for _, container := range containers {
		if err := os.MkdirAll(filepath.Join(c.ValuesDir, container.Name), 0o700); err != nil {
			tb.Fatal(err)
		}
	}
	c.CA.AddCert(s.Certificate())
	for _, err := range []error{os.Mkdir(c.Dir, 0o700), os.Mkdir(c.BinDir, 0o700), os.WriteFile(c.TokenFile, []byte("token"), 0o600), os.WriteFile(c.TerminationLog, nil, 0o600)} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	return c
}

// registry answers every request with these values.
func registry(tb testing.TB, containers ...wire.ContainerValues) *httptest.Server {
	tb.Helper()
	body := wire.AppendResponse(nil, &wire.ResolveResponse{RequestID: "r-1", Containers: containers})
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	}))
	tb.Cleanup(s.Close)
	return s
}

func containerValues(name string, pairs ...string) wire.ContainerValues {
	v := wire.ContainerValues{Name: name}
	for i := 0; i < len(pairs); i += 2 {
		v.Envs = append(v.Envs, wire.Env{Name: pairs[i], Value: redact.New([]byte(pairs[i+1])), Secret: "secret-" + pairs[i]})
	}
	return v
}

func TestRunWritesAFileForEachContainer(t *testing.T) {
	pem := "-----BEGIN X-----\n" + canary + "\n-----END X-----\n"
	s := registry(t, containerValues("side"), containerValues("app", "B", " $x \"\\", "A", pem))
	c := newConfig(t, s, container("app", "A", "B"), container("side"))
	if err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"app.env": "A='" + pem + "'\nB=' $x \"\\'\n", "side.env": ""} {
		if got, err := os.ReadFile(filepath.Join(c.Dir, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestRunWritesInlineValuesBesideThoseOfTheConsumer(t *testing.T) {
	s := registry(t, containerValues("app", "B", "two", "A", "one"), containerValues("side", "C", "three"))
	app, side := container("app", "A"), inline("C", "lanyard://acme/c#3")
	app.Inline, side.Name = []wire.InlineEnv{{Name: "B", Secret: "lanyard://acme/b"}}, "side"
	c := newConfig(t, s, app, side)
	if err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"app.env": "A='one'\nB='two'\n", "side.env": "C='three'\n"} {
		if got := read(t, filepath.Join(c.Dir, name)); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestRunNamesEveryValueThatDoesNotFitAndWritesNone(t *testing.T) {
	s := registry(t, containerValues("app", "A", canary, "B", canary+"'", "C", ""), containerValues("side", "D", canary+"\r\n"))
	c := newConfig(t, s, container("app", "A", "B", "C"), container("side", "D"))
	var log bytes.Buffer
	c.Logger = slog.New(slog.NewJSONHandler(&log, nil))
	err := Run(t.Context(), c)
	if code := Report(c, err); code != int(ExitUnrepresentable) {
		t.Errorf("exit code %d, want 16: %v", code, err)
	}
	message := read(t, c.TerminationLog)
	for _, want := range []string{"B of container app, secret secret-B: ", "single quote", "C of container app", "empty", "D of container side", "CR LF", "Use another delivery"} {
		if !strings.Contains(message, want) {
			t.Errorf("the termination message lacks %q:\n%s", want, message)
		}
	}
	if all := message + log.String(); strings.Contains(all, canary) {
		t.Error("a value was told")
	}
	if entries, _ := os.ReadDir(c.Dir); len(entries) != 0 {
		t.Errorf("it left %v", entries)
	}
}

func TestRunGivesEachDeliveryItsFiles(t *testing.T) {
	const odd = canary + "'\r\n"
	s := registry(t, containerValues("app", "A", odd), containerValues("side", "A", odd+"\x00", "EMPTY", ""), containerValues("plain", "A", canary))
	wrapped, files := container("app", "A"), container("side", "A", "EMPTY")
	wrapped.Delivery, files.Delivery = wire.DeliveryExec, wire.DeliveryFile
	c := newConfig(t, s, wrapped, files, container("plain", "A"))
	if err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	values, err := execfile.Parse([]byte(read(t, filepath.Join(c.ValuesDir, "app", podspec.ExecFile))))
	if err != nil || !slices.Equal(values, []string{"A=" + odd}) {
		t.Errorf("values of the wrapped container: %q, %v", values, err)
	}
	for path, want := range map[string]string{"side/A": odd + "\x00", "side/EMPTY": "", "../env/plain.env": "A='" + canary + "'\n"} {
		if got := read(t, filepath.Join(c.ValuesDir, path)); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}

func TestRunRefusesWhatNoProcessCanReceive(t *testing.T) {
	var names, pairs []string
	for i := range 40 {
		names = append(names, fmt.Sprintf("E%d", i))
		pairs = append(pairs, names[i], strings.Repeat(canary, 60<<10/len(canary)))
	}
	for name, tc := range map[string]struct {
		values []string
		want   string
	}{
		"a NUL byte":            {[]string{"E0", canary + "\x00"}, "E0 of container app, secret secret-E0: unrepresentable: ENV E0: an ENV cannot have this value: it contains a NUL byte"},
		"too much in total":     {pairs, "container app: its ENVs together are longer than a process may receive"},
		"nothing extraordinary": {[]string{"E0", canary}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			wrapped := container("app", names[:len(tc.values)/2]...)
			wrapped.Delivery = wire.DeliveryExec
			c := newConfig(t, registry(t, containerValues("app", tc.values...)), wrapped)
			code := Report(c, Run(t.Context(), c))
			message := read(t, c.TerminationLog)
			if (code != 0) != (tc.want != "") || code != 0 && code != int(ExitUnrepresentable) || !strings.Contains(message, tc.want) || strings.Contains(message, canary) {
				t.Errorf("exit code %d, termination message %q", code, message)
			}
			if entries, _ := os.ReadDir(filepath.Join(c.ValuesDir, "app")); code != 0 && len(entries) != 0 {
				t.Errorf("it left %v", entries)
			}
		})
	}
}

func TestRunEndsWhenCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // a server notices the end of a connection once it has read the request
		cancel()
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	err := Run(ctx, newConfig(t, s, container("app", "A")))
	var failure *Failure
	if !errors.As(err, &failure) || failure.Exit != ExitSignal {
		t.Errorf("error = %v, want exit code 143", err)
	}
}

func TestReport(t *testing.T) {
	if code := Report(Config{}, nil); code != 0 {
		t.Errorf("success exits %d", code)
	}
	if code := Report(Config{TerminationLog: filepath.Join(t.TempDir(), "absent")}, &Failure{Exit: ExitWriting, Err: errors.New("x")}); code != 14 {
		t.Errorf("without a place for its message it exits %d, want 14", code)
	}
	if code := Report(Config{}, errors.New("unheard of")); code == 0 {
		t.Error("an error it does not know exits 0")
	}
}

// BenchmarkRun is everything but the start of a process: a new TLS connection, the answer, the files.
func BenchmarkRun(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("envs=%d", n), func(b *testing.B) {
			var names, pairs []string
			for i := range n {
				name := fmt.Sprintf("ENV_%d", i)
				names, pairs = append(names, name), append(pairs, name, "0123456789012345678901234567890123456789")
			}
			c := newConfig(b, registry(b, containerValues("app", pairs...)), container("app", names...))
			b.ReportAllocs()
			for b.Loop() {
				if err := Run(b.Context(), c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
