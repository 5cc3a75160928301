// SPDX-License-Identifier: Apache-2.0

package chainfile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/auditchain"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/audit/chainfile"
)

// place is a directory with an audit file.
type place struct {
	*testing.T
	dir, path string
}

func newPlace(t *testing.T) place {
	dir := t.TempDir()
	return place{t, dir, filepath.Join(dir, "audit.ndjson")}
}

func (p place) open(change ...func(*chainfile.Config)) *chainfile.File {
	p.Helper()
	config := chainfile.Config{Path: p.path}
	for _, c := range change {
		c(&config)
	}
	f, err := chainfile.Open(config)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = f.Close() })
	return f
}

// append appends events with the ids.
func (p place) append(f *chainfile.File, ids ...string) {
	p.Helper()
	if err := f.Append(p.Context(), events(ids...)); err != nil {
		p.Fatal(err)
	}
}

func events(ids ...string) (out []audit.Event) {
	for _, id := range ids {
		out = append(out, audit.Event{ID: id, Actor: "user:<a>&b", Action: audit.SecretPut, Outcome: audit.Allowed})
	}
	return out
}

// holds checks that the files verify, lead to the end of f, and hold the ids.
func (p place) holds(f *chainfile.File, ids ...string) {
	p.Helper()
	v := auditchain.Verifier{Expect: f.End()}
	var got []string
	full, err := filepath.Glob(filepath.Join(p.dir, "audit-*.ndjson"))
	if err != nil {
		p.Fatal(err)
	}
	for _, path := range append(full, p.path) {
		content, err := os.ReadFile(path)
		if err != nil {
			p.Fatal(err)
		}
		if err := v.Read(filepath.Base(path), bytes.NewReader(content)); err != nil {
			p.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			_, id, _ := strings.Cut(line, `"event":{"id":"`)
			id, _, _ = strings.Cut(id, `"`)
			got = append(got, id)
		}
	}
	if r := v.Report(); !r.OK() {
		p.Errorf("the chain: %v", r.Problems)
	}
	if !slices.Equal(got, ids) {
		p.Errorf("events %v, want %v", got, ids)
	}
}

func TestTheChainGoesOnAfterARestart(t *testing.T) {
	p := newPlace(t)
	f := p.open()
	p.append(f, "1", "2")
	p.append(f, "3")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f = p.open()
	p.append(f, "4")
	p.holds(f, "1", "2", "3", "4")
	if f.End().Seq != 4 {
		t.Errorf("the chain ends at %s", f.End())
	}
	if info, err := os.Stat(p.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestWhatACrashTearsIsCutOff(t *testing.T) {
	p := newPlace(t)
	f := p.open()
	p.append(f, "1")
	whole, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	p.append(f, "2")
	_ = f.Close()
	both, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	second := both[len(whole):]
	torn := map[string][]byte{
		"zeros":                []byte("\x00\x00\x00"),
		"zeros with a break":   append(make([]byte, 4096), '\n'),
		"zeros and a line end": append(make([]byte, 100), second[100:]...),
	}
	for n := 1; n < len(second); n += 7 {
		torn[fmt.Sprintf("%d bytes of a line", n)] = second[:n]
	}
	for name, end := range torn {
		for what, before := range map[string][]byte{"an event": whole, "nothing": nil} {
			t.Run(name+" after "+what, func(t *testing.T) {
				p := newPlace(t)
				if err := os.WriteFile(p.path, append(slices.Clone(before), end...), 0o600); err != nil {
					t.Fatal(err)
				}
				f := p.open()
				p.append(f, "new")
				want := []string{"new"}
				if before != nil {
					want = []string{"1", "new"}
				}
				p.holds(f, want...)
			})
		}
	}
}

func TestAFileThatIsNotOursIsNotTouched(t *testing.T) {
	p := newPlace(t)
	f := p.open()
	p.append(f, "1")
	_ = f.Close()
	whole, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"something else":        "Dear diary,\n",
		"an edited last event":  strings.Replace(string(whole), `"id":"1"`, `"id":"2"`, 1),
		"something else at end": string(whole) + "# rotated\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			if err := os.WriteFile(p.path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := chainfile.Open(chainfile.Config{Path: p.path}); !errors.Is(err, chainfile.ErrDamaged) {
				t.Errorf("Open = %v, want ErrDamaged", err)
			}
			if now, err := os.ReadFile(p.path); err != nil || string(now) != content {
				t.Errorf("the file became %q (%v)", now, err)
			}
		})
	}
}

func TestAFullFileIsPutAsideAndTheChainGoesOn(t *testing.T) {
	p := newPlace(t)
	small := func(c *chainfile.Config) { c.MaxBytes = 600 }
	f := p.open(small)
	var ids []string
	for i := range 9 {
		ids = append(ids, fmt.Sprint(i))
		p.append(f, ids[i])
	}
	p.holds(f, ids...)
	full, err := filepath.Glob(filepath.Join(p.dir, "audit-*.ndjson"))
	if err != nil || len(full) < 2 {
		t.Fatalf("full files: %v, %v", full, err)
	}

	// A crash between the two steps of a rotation leaves no file, or an empty one.
	_ = f.Close()
	if err := os.Rename(p.path, filepath.Join(p.dir, "audit-00000000000000000009.ndjson")); err != nil {
		t.Fatal(err)
	}
	_ = p.open(small).Close()
	f = p.open(small, func(c *chainfile.Config) { c.Keep = 2 })
	p.append(f, "9")
	ids = append(ids, "9")
	p.holds(f, ids...)

	for range 20 {
		p.append(f, "more")
	}
	if full, err = filepath.Glob(filepath.Join(p.dir, "audit-*.ndjson")); err != nil || len(full) != 2 {
		t.Errorf("full files: %v, %v; want two", full, err)
	}
}

func TestADiskThatFailsLosesNothingThatWasAcknowledged(t *testing.T) {
	failed := errors.New("input/output error")
	for name, fail := range map[string]func(*chainfile.File){
		"nothing can be written": func(f *chainfile.File) { f.Fail(func() (int, error) { return 0, syscall.ENOSPC }, nil) },
		"a part is written":      func(f *chainfile.File) { f.Fail(func() (int, error) { return 30, syscall.ENOSPC }, nil) },
		"a line is written":      func(f *chainfile.File) { f.Fail(func() (int, error) { return 1 << 20, syscall.ENOSPC }, nil) },
		"the sync fails":         func(f *chainfile.File) { f.Fail(nil, func() error { return failed }) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			f := p.open()
			p.append(f, "1")
			fail(f)
			for range 2 {
				if err := f.Append(t.Context(), events("lost")); !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, failed) {
					t.Errorf("Append = %v", err)
				}
				if err := f.Append(t.Context(), nil); err == nil {
					t.Error("the disk is said to work")
				}
			}
			f.Fail(nil, nil)
			if err := f.Append(t.Context(), nil); err != nil {
				t.Errorf("the disk works and is said not to: %v", err)
			}
			p.holds(f, "1")
			p.append(f, "2")
			p.holds(f, "1", "2")
		})
	}
}

func TestOneProcessHasTheFile(t *testing.T) {
	p := newPlace(t)
	f := p.open()
	if _, err := chainfile.Open(chainfile.Config{Path: p.path}); !errors.Is(err, chainfile.ErrInUse) {
		t.Errorf("Open = %v, want ErrInUse", err)
	}
	_ = f.Close()
	p.open()
}

func TestAFileThatIsMovedOrReplaced(t *testing.T) {
	p := newPlace(t)
	f := p.open()
	p.append(f, "1")
	// Somebody's logrotate took it: the chain goes on, and nothing is written where nobody looks.
	if err := os.Rename(p.path, filepath.Join(p.dir, "audit-00000000000000000001.ndjson")); err != nil {
		t.Fatal(err)
	}
	p.append(f, "2")
	p.holds(f, "1", "2")
	// Another file is there: no event goes into it, nor anywhere else.
	if err := os.Rename(p.path, filepath.Join(p.dir, "aside")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.path, []byte("mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Append(t.Context(), events("3")); !errors.Is(err, chainfile.ErrReplaced) {
		t.Errorf("Append = %v, want ErrReplaced", err)
	}
	if err := os.Rename(filepath.Join(p.dir, "aside"), p.path); err != nil {
		t.Fatal(err)
	}
	p.append(f, "3")
	p.holds(f, "1", "2", "3")
	// Its content was cut.
	if err := os.Truncate(p.path, 10); err != nil {
		t.Fatal(err)
	}
	if err := f.Append(t.Context(), events("4")); !errors.Is(err, chainfile.ErrReplaced) {
		t.Errorf("Append = %v, want ErrReplaced", err)
	}
}

// TestRecordsShareASync shows group commit: however many record at once, each disk write takes all who wait.
func TestRecordsShareASync(t *testing.T) {
	p := newPlace(t)
	f := p.open()
	syncs, hold := 0, make(chan struct{})
	f.Fail(nil, func() error { <-hold; syncs++; return nil })
	log, err := audit.New(audit.Config{Sinks: []audit.Sink{f}, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- log.Run(ctx) }()
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			if err := log.Record(t.Context(), events("x")...); err != nil {
				t.Error(err)
			}
		})
	}
	close(hold)
	all.Wait()
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	p.holds(f, slices.Repeat([]string{"x"}, 200)...)
	if syncs > 200 || syncs == 0 {
		t.Errorf("%d syncs", syncs)
	}
	t.Logf("200 records in %d syncs", syncs)
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 32, 256} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			f, err := chainfile.Open(chainfile.Config{Path: filepath.Join(b.TempDir(), "audit.ndjson"), Keep: 1})
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			batch := events(slices.Repeat([]string{"0197a2d0-6a5e-7cc3-8e0e-2d3f1c9a4b5d"}, size)...)
			for b.Loop() {
				if err := f.Append(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
