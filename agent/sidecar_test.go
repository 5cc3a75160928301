// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// pod is a pod with a sidecar, its registry and its application, in a bubble. The container app has the ENVs A and B.
type pod struct {
	t      *testing.T
	config Config
	log    bytes.Buffer
	fence  atomic.Int64

	value  string       // of every ENV, at the registry
	marks  bool         // the registry knows marks
	refuse wire.Problem // instead of values
	old    string       // what the registry remembers of a provider that is silent; empty while it answers
	down   bool         // the registry
	asked  []time.Time
	told   []string // what the files held when the application was told
	reload int      // status of the application's answer
}

func newPod(t *testing.T, refresh Refresh) *pod {
	t.Helper()
	dir := t.TempDir()
	files := container("app", "A", "B")
	files.Delivery = wire.DeliveryFile
	p := &pod{t: t, value: "one", marks: true, reload: http.StatusNoContent}
	p.config = Config{
		URL: "https://registry", Deadline: time.Minute, Refresh: refresh, TokenFile: filepath.Join(dir, "token"), ValuesDir: filepath.Join(dir, "values"),
		TerminationLog: filepath.Join(dir, "termination-log"), Request: wire.ResolveRequest{Protocol: wire.Protocol, Containers: []wire.ContainerRequest{files}},
		Logger: slog.New(slog.NewJSONHandler(&p.log, nil)),
	}
	for _, err := range []error{
		os.MkdirAll(filepath.Join(p.config.ValuesDir, "app"), 0o700), os.WriteFile(p.config.TokenFile, []byte("token"), 0o600), os.WriteFile(p.config.TerminationLog, nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// roundTripper is one function.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func reply(status int, body []byte) (*http.Response, error) {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body))}, nil
}

// sleep lets time pass. The race detector takes a clock for no order between two goroutines, so the fence says that what the test wrote before comes first.
func (p *pod) sleep(d time.Duration) {
	p.fence.Add(1)
	time.Sleep(d)
	synctest.Wait()
	p.fence.Add(1)
}

func (p *pod) registry(r *http.Request) (*http.Response, error) {
	p.fence.Add(1)
	defer p.fence.Add(1)
	p.asked = append(p.asked, time.Now())
	var asked wire.ResolveRequest
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		p.t.Error(err)
	}
	if asked.Starting {
		p.t.Error("it says that the containers start, which may be running")
	}
	switch {
	case p.down:
		return nil, io.ErrUnexpectedEOF
	case p.refuse.Code != "":
		body, _ := json.Marshal(p.refuse)
		return reply(p.refuse.Code.Info().Status, body)
	}
	value := p.value
	if p.old != "" {
		if value = p.old; asked.Mark != "" { // a pod that has values waits for fresh ones
			silent := wire.Problem{Code: wire.CodeUnresolved, Items: []wire.ItemProblem{{Container: "app", Env: "A", Code: wire.CodeProviderUnavailable}}}
			body, _ := json.Marshal(silent)
			return reply(silent.Code.Info().Status, body)
		}
	}
	answer := &wire.ResolveResponse{RequestID: "r1"}
	if p.marks {
		answer.Mark = "mark-of-" + value
	}
	if p.marks && asked.Mark == answer.Mark {
		answer.Unchanged = true
		return reply(200, wire.AppendResponse(nil, answer))
	}
	answer.Containers = []wire.ContainerValues{{Name: "app"}}
	for _, name := range []string{"A", "B"} {
		answer.Containers[0].Envs = append(answer.Containers[0].Envs, wire.Env{Name: name, Value: redact.New([]byte(canary + value))})
	}
	return reply(200, wire.AppendResponse(nil, answer))
}

func (p *pod) application(r *http.Request) (*http.Response, error) {
	p.fence.Add(1)
	defer p.fence.Add(1)
	if r.Method != http.MethodPost || r.URL.String() != p.config.Refresh.URL {
		p.t.Errorf("the application was asked %s %s", r.Method, r.URL)
	}
	p.told = append(p.told, p.files())
	return reply(p.reload, []byte(canary))
}

// files returns what A and B hold, which must be the same.
func (p *pod) files() string {
	var got []string
	for _, name := range []string{"A", "B"} {
		text, err := os.ReadFile(filepath.Join(p.config.ValuesDir, "app", name))
		if err != nil {
			got = append(got, "(none)")
			continue
		}
		got = append(got, strings.TrimPrefix(string(text), canary))
	}
	if got[0] != got[1] {
		p.t.Errorf("A is %s and B is %s", got[0], got[1])
	}
	return got[0]
}

// run starts the sidecar. The function it returns ends it and returns how it ended.
func (p *pod) run() (end func() error) {
	ctx, cancel := context.WithCancel(p.t.Context())
	result := make(chan error, 1)
	go func() {
		s := newSidecar(p.config, roundTripper(p.registry), roundTripper(p.application))
		err := s.start(ctx)
		if err == nil {
			err = s.follow(ctx)
		}
		result <- err
	}()
	return func() error {
		cancel()
		return <-result
	}
}

func (p *pod) started() bool {
	return Started(func(name string) string {
		return map[string]string{podspec.EnvTerminationLog: p.config.TerminationLog}[name]
	}) == nil
}

// expect waits for a while and compares the files.
func (p *pod) expect(after time.Duration, want string) {
	p.t.Helper()
	p.sleep(after)
	if got := p.files(); got != want {
		p.t.Errorf("the files hold %s, want %s", got, want)
	}
}

func TestSidecarReplacesFilesAndThenTellsTheContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, Refresh{Interval: time.Minute, URL: "http://127.0.0.1:8080/reload"})
		if p.started() {
			t.Error("it has started before it began")
		}
		end := p.run()
		p.expect(0, "one")
		if !p.started() || len(p.told) != 0 {
			t.Errorf("started: %v; the application was told of its first values %d times", p.started(), len(p.told))
		}
		p.expect(10*time.Minute, "one")
		if n := len(p.asked); n < 10 || n > 12 || len(p.told) != 0 {
			t.Errorf("in ten minutes it asked %d times, and told of no change %d times", n, len(p.told))
		}
		p.value = "two"
		p.expect(67*time.Second, "two")
		if !slices.Equal(p.told, []string{"two"}) {
			t.Errorf("when the application was told, the files held %v", p.told)
		}
		p.expect(10*time.Minute, "two")
		if slots, _ := filepath.Glob(filepath.Join(p.config.ValuesDir, "app", "..[ab]")); len(slots) != 1 {
			t.Errorf("the replaced files are still there: %v", slots)
		}
		if err := end(); err != nil {
			t.Errorf("it ended with %v", err)
		}
		if strings.Contains(p.log.String(), canary) {
			t.Error("a value was logged")
		}
	})
}

func TestIntervalsAreJitteredByATenth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, Refresh{Interval: time.Minute})
		end := p.run()
		p.sleep(100 * time.Minute)
		if err := end(); err != nil {
			t.Error(err)
		}
		differ := map[time.Duration]bool{}
		for i := 1; i < len(p.asked); i++ {
			pause := p.asked[i].Sub(p.asked[i-1])
			if pause < 54*time.Second || pause > 66*time.Second {
				t.Errorf("pause %d is %v", i, pause)
			}
			differ[pause] = true
		}
		if len(differ) < len(p.asked)/2 {
			t.Errorf("%d asks had %d different pauses", len(p.asked), len(differ))
		}
	})
}

// Whatever the registry says, the files stay: running containers keep their values.
func TestALookThatFailsKeepsTheFiles(t *testing.T) {
	for name, tc := range map[string]struct {
		trouble func(*pod)
		level   string
		reason  string
	}{
		"the registry is down":     {func(p *pod) { p.down = true }, "WARN", "unreachable"},
		"etcd is down":             {func(p *pod) { p.refuse.Code = wire.CodeStoreUnavailable }, "WARN", "unreachable"},
		"the binding is gone":      {func(p *pod) { p.refuse.Code = wire.CodeNotBound }, "ERROR", "denied"},
		"the secret is deleted":    {func(p *pod) { p.refuse.Code = wire.CodeUnresolved }, "ERROR", "unresolved"},
		"the token is not trusted": {func(p *pod) { p.refuse.Code = wire.CodeUnauthenticated }, "ERROR", "unauthenticated"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPod(t, Refresh{Interval: 10 * time.Minute, URL: "http://127.0.0.1:8080/"})
				end := p.run()
				p.expect(time.Second, "one")
				tc.trouble(p)
				p.value = "two"
				p.expect(3*time.Hour, "one")
				if !p.started() {
					t.Error("it is no longer started")
				}
				want := fmt.Sprintf(`"level":%q,"msg":"refresh failed, the files stay as they are","failures":1,`, tc.level)
				if log := p.log.String(); !strings.Contains(log, want) || !strings.Contains(log, fmt.Sprintf(`"reason":%q`, tc.reason)) {
					t.Errorf("the log lacks %s or the reason %s: %s", want, tc.reason, log)
				}
				p.down, p.refuse = false, wire.Problem{}
				p.expect(11*time.Minute, "two")
				if !slices.Equal(p.told, []string{"two"}) || !strings.Contains(p.log.String(), "refresh works again") {
					t.Errorf("told %v", p.told)
				}
				if err := end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestAfterAFailureItLooksSoonerAndThenMoreAndMoreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, Refresh{Interval: time.Hour})
		end := p.run()
		p.expect(time.Second, "one")
		p.refuse.Code = wire.CodeNotBound
		p.asked = nil
		p.sleep(6 * time.Hour)
		if err := end(); err != nil {
			t.Error(err)
		}
		pause := 15 * time.Second
		for i := 1; i < len(p.asked); i++ {
			got := p.asked[i].Sub(p.asked[i-1])
			if got < pause*9/10 || got > pause*11/10 {
				t.Errorf("pause %d is %v, want about %v", i, got, pause)
			}
			pause = min(2*pause, time.Hour)
		}
		if len(p.asked) < 10 {
			t.Errorf("it asked %d times", len(p.asked))
		}
	})
}

func TestAnOutageCostsFewTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, Refresh{Interval: 10 * time.Second})
		end := p.run()
		p.expect(time.Second, "one")
		p.down, p.asked = true, nil
		p.sleep(time.Hour)
		if err := end(); err != nil {
			t.Error(err)
		}
		// A look takes up to 15 s with at least 50 ms between its tries, on average far more; then comes a pause of ten.
		if n := len(p.asked); n > 3000 {
			t.Errorf("it asked %d times in an hour", n)
		}
	})
}

func TestAContainerThatCannotBeToldIsToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, Refresh{Interval: time.Hour, URL: "http://127.0.0.1:8080/"})
		end := p.run()
		p.expect(time.Second, "one")
		p.value, p.reload = "two", http.StatusServiceUnavailable
		p.expect(67*time.Minute, "two")
		asked := len(p.asked)
		if len(p.told) == 0 {
			t.Fatal("it was not told")
		}
		p.reload = http.StatusOK
		before := len(p.told)
		p.sleep(9 * time.Minute)
		if len(p.told) != before+1 || len(p.asked) > asked+1 {
			t.Errorf("it was told %d times more, and the registry asked %d times", len(p.told)-before, len(p.asked)-asked)
		}
		p.sleep(3 * time.Hour)
		if len(p.told) != before+1 {
			t.Errorf("it was told %d times after it had heard", len(p.told)-before-1)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
		if log := p.log.String(); !strings.Contains(log, "it answered with status 503") || strings.Contains(log, canary) {
			t.Errorf("log: %s", log)
		}
	})
}

func TestWithoutMarksItComparesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, Refresh{Interval: time.Minute, URL: "http://127.0.0.1:8080/"})
		p.marks = false
		end := p.run()
		p.expect(10*time.Minute, "one")
		p.value = "two"
		p.expect(10*time.Minute, "two")
		if !slices.Equal(p.told, []string{"two"}) {
			t.Errorf("told %v", p.told)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	})
}

func TestFilesThatWereTakenAwayComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, Refresh{Interval: time.Minute})
		end := p.run()
		p.expect(time.Second, "one")
		for _, name := range []string{"A", "B"} {
			if err := os.Remove(filepath.Join(p.config.ValuesDir, "app", name)); err != nil {
				t.Fatal(err)
			}
		}
		p.expect(67*time.Second, "one")
		if err := end(); err != nil {
			t.Error(err)
		}
	})
}

func TestRestartIsAskedForWithAnExitCodeAndOnlyForAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, Refresh{Interval: time.Minute, Restart: true})
		end := p.run()
		p.expect(10*time.Minute, "one")
		p.value = "two"
		p.expect(67*time.Second, "two")
		err := end() // has ended by itself
		var failure *Failure
		if !errors.As(err, &failure) || failure.Exit != ExitRestart {
			t.Fatalf("it ended with %v", err)
		}
		if code := Report(p.config, err); code != 20 {
			t.Errorf("exit code %d", code)
		}
		if message := read(t, p.config.TerminationLog); !strings.HasPrefix(message, "lanyard: there are other values") || p.started() {
			t.Errorf("termination message %q", message)
		}
		// The containers start anew with a sidecar that finds nothing to do.
		if err := os.WriteFile(p.config.TerminationLog, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		end = p.run()
		p.expect(time.Hour, "two")
		if err := end(); err != nil || !p.started() {
			t.Errorf("after the restart: %v", err)
		}
	})
}

func TestFirstValuesAreThoseOfAnInitAgent(t *testing.T) {
	for name, tc := range map[string]struct {
		trouble func(*pod)
		exit    Exit
		after   time.Duration
	}{
		"denied":      {func(p *pod) { p.refuse.Code = wire.CodeNotBound }, ExitDenied, 0},
		"unreachable": {func(p *pod) { p.down = true }, ExitUnreachable, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPod(t, Refresh{Interval: time.Minute})
				tc.trouble(p)
				began := time.Now()
				s := newSidecar(p.config, roundTripper(p.registry), roundTripper(p.application))
				err := s.start(t.Context())
				var failure *Failure
				if !errors.As(err, &failure) || failure.Exit != tc.exit || time.Since(began) != tc.after {
					t.Errorf("it ended with %v after %v", err, time.Since(began))
				}
				if p.started() || p.files() != "(none)" {
					t.Error("it has started, or left files")
				}
			})
		})
	}
}

// The kubelet restarts a sidecar that crashed, beside containers that go on running: that must not cost the pod its readiness.
func TestASidecarThatWasRestartedSettlesForItsFiles(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*pod)
		within time.Duration
		files  string
		told   int
	}{
		"nothing happened":                 {func(*pod) {}, 0, "one", 0},
		"there are other values":           {func(p *pod) { p.value = "two" }, 0, "two", 1},
		"the registry is down":             {func(p *pod) { p.down = true }, 10 * time.Second, "one", 0},
		"the binding is gone":              {func(p *pod) { p.refuse.Code = wire.CodeNotBound }, 0, "one", 0},
		"a provider is silent":             {func(p *pod) { p.old = "zero" }, 10 * time.Second, "one", 0},
		"values could not be written over": {func(p *pod) { p.refuse.Code = wire.CodeUnresolved }, 0, "one", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPod(t, Refresh{Interval: time.Hour, URL: "http://127.0.0.1:8080/"})
				end := p.run()
				p.expect(time.Second, "one")
				_ = end()
				if err := os.WriteFile(p.config.TerminationLog, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				tc.change(p)
				end = p.run()
				p.expect(tc.within, tc.files)
				if !p.started() || len(p.told) != tc.told {
					t.Errorf("started: %v, told %v", p.started(), p.told)
				}
				if err := end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestItEndsAtOnceWithItsPod(t *testing.T) {
	for name, within := range map[string]func(p *pod){
		"in a pause": func(*pod) {},
		"in a look":  func(p *pod) { p.down = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPod(t, Refresh{Interval: time.Minute})
				end := p.run()
				p.expect(time.Second, "one")
				within(p)
				p.sleep(67 * time.Second)
				asked := time.Now()
				if err := end(); err != nil || time.Since(asked) != 0 {
					t.Errorf("it ended with %v after %v", err, time.Since(asked))
				}
				if code := Report(p.config, nil); code != 0 {
					t.Errorf("exit code %d", code)
				}
			})
		})
	}
}
