// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/pkg/auditchain"
	"github.com/lanyard-dev/lanyard/registry/api"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authz"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
)

var errReached = fmt.Errorf("%w: the store was reached", store.ErrUnavailable)

// failing is a store whose lookups fail. Other methods are not there: a handler that gets past a failed lookup panics.
type failing struct {
	api.Store
	store error
}

func (f failing) Organization(context.Context, string) (store.Organization, error) {
	return store.Organization{}, f.store
}

func (f failing) Organizations(context.Context, store.Query) (store.Page[store.Organization], error) {
	return store.Page[store.Organization]{}, f.store
}

func (f failing) CreateOrganization(context.Context, store.Act, store.Organization, ...string) (store.Organization, error) {
	return store.Organization{}, f.store
}

func (f failing) Deletions(context.Context) ([]store.Deletion, error) { return nil, f.store }

func (f failing) Administration(context.Context, string) (store.Administration, error) {
	return store.Administration{}, nil
}

func (f failing) Administrators(context.Context, store.Query) (store.Page[store.Administrator], error) {
	return store.Page[store.Administrator]{}, f.store
}

func (f failing) Administrator(context.Context, string) (store.Administrator, error) {
	return store.Administrator{}, f.store
}

func (f failing) AddAdministrator(context.Context, store.Act, string) (store.Administrator, error) {
	return store.Administrator{}, f.store
}

func (f failing) Memberships(context.Context, string) ([]store.Membership, error) {
	return nil, f.store
}

func (f failing) AuditChain(context.Context, string, store.ChainQuery) ([]auditchain.Line, error) {
	return nil, f.store
}

func (f failing) VerifyAudit(context.Context, string) (uint64, auditchain.Position, error) {
	return 0, auditchain.Position{}, f.store
}

func (f failing) AuditEvents(context.Context, string, store.AuditQuery) (store.Page[audit.Event], error) {
	return store.Page[audit.Event]{}, f.store
}

func TestEveryErrorIsAProblem(t *testing.T) {
	changed := time.Date(2026, 11, 24, 9, 12, 3, 0, time.UTC)
	meta := store.Meta{Revision: 4720, UpdatedBy: "user:alice", UpdatedAt: changed}
	for name, tc := range map[string]struct {
		err    error
		code   contract.Code
		detail string // a part of it
		logged bool
	}{
		"not found":               {fmt.Errorf("x: %w", store.ErrNotFound), contract.CodeNotFound, "no such object", false},
		"the name is taken":       {fmt.Errorf("x: %w", store.ErrExists), contract.CodeAlreadyExists, "taken", false},
		"changed by another":      {fmt.Errorf("x: %w", &store.ConflictError{Current: meta}), contract.CodePreconditionFailed, "by user:alice at 2026-11-24T09:12:03Z", false},
		"a broken rule":           {fmt.Errorf("x: %w", &store.FieldError{Pointer: "/page_token", Code: "unknown", Message: "m"}), contract.CodeValidation, "", false},
		"still used":              {fmt.Errorf("x: %w", &store.ReferencedError{References: []store.Reference{{Kind: "consumer", ID: "i", Name: "n", Field: "f"}}}), contract.CodeReferenced, "", false},
		"the key is missing":      {fmt.Errorf("x: %w: key 0011", store.ErrKey), contract.CodeKeyUnavailable, "key-encryption key", true},
		"the audit log is full":   {fmt.Errorf("x: %w: file", store.ErrAudit), contract.CodeAuditUnavailable, "Nothing was changed", true},
		"the last owner":          {fmt.Errorf("x: %w", store.ErrLastOwner), contract.CodeLastOwner, "Make somebody else an owner", false},
		"the last administrator":  {fmt.Errorf("x: %w", store.ErrLastAdministrator), contract.CodeLastAdministrator, "only administrator", false},
		"a damaged record":        {fmt.Errorf("x: %w", store.ErrIntegrity), contract.CodeIntegrity, "does not verify", true},
		"etcd does not answer":    {fmt.Errorf("x: %w", store.ErrUnavailable), contract.CodeUnavailable, "may or may not have happened", true},
		"the time is over":        {fmt.Errorf("x: %w", context.DeadlineExceeded), contract.CodeUnavailable, "may or may not have happened", true},
		"something else entirely": {errors.New("the secret thing was " + canary), contract.CodeInternal, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t}
			w.serve(failing{store: tc.err})
			a := w.do("GET", "/api/v1/organizations", "")
			p := a.problem(t)
			if p.Code() != tc.code || a.status != tc.code.Info().Status || p.Status != a.status || !strings.Contains(or(p.Detail), tc.detail) {
				t.Errorf("got %d %s", a.status, a.body)
			}
			if strings.Contains(string(a.body), "CANARY") {
				t.Errorf("the text of an error got out: %s", a.body)
			}
			if logged := strings.Contains(w.log.String(), `"err":`); logged != tc.logged {
				t.Errorf("log: %s", w.log)
			}
			if p.RequestID != a.header.Get("X-Request-Id") || !strings.Contains(w.log.String(), p.RequestID) {
				t.Errorf("request id %s, header %s, log %s", p.RequestID, a.header.Get("X-Request-Id"), w.log)
			}
		})
	}
}

func TestAConflictSaysWhatToSendNext(t *testing.T) {
	w := &world{t: t}
	w.serve(failing{store: &store.ConflictError{Current: store.Meta{Revision: 4720, UpdatedBy: "user:alice", UpdatedAt: time.Unix(0, 0)}}})
	p := w.do("GET", "/api/v1/organizations", "").problem(t)
	if or(p.CurrentEtag) != `"4720"` || or(p.ChangedBy) != "user:alice" || p.ChangedAt == nil {
		t.Errorf("got %+v", p)
	}
}

// The table is read from top to bottom: a row hidden by an earlier one would never count.
func TestNoRowOfTheErrorTableIsHidden(t *testing.T) {
	for i, row := range api.ErrorTable {
		for _, earlier := range api.ErrorTable[:i] {
			if errors.Is(api.RowError(row), api.RowError(earlier)) {
				t.Errorf("%v is hidden by %v", api.RowError(row), api.RowError(earlier))
			}
		}
	}
}

type panicking struct{ failing }

func (panicking) Organizations(context.Context, store.Query) (store.Page[store.Organization], error) {
	panic("with " + canary)
}

func TestAPanicIsAnInternalProblem(t *testing.T) {
	w := &world{t: t}
	w.serve(panicking{})
	a := w.do("GET", "/api/v1/organizations", "")
	if p := a.problem(t); p.Code() != contract.CodeInternal || p.RequestID == "" {
		t.Errorf("got %s", a.body)
	}
	if log := w.log.String(); !strings.Contains(log, "failing_test.go") || strings.Contains(log, "CANARY") {
		t.Errorf("log: %s", log)
	}
}

func TestWhatIsNotThereIsAProblemToo(t *testing.T) {
	w := &world{t: t}
	w.serve(failing{store: store.ErrNotFound})
	for name, tc := range map[string]struct {
		method, path string
		code         contract.Code
	}{
		"an unknown path":                {"GET", "/api/v1/nothing", contract.CodeNotFound},
		"the root":                       {"GET", "/", contract.CodeNotFound},
		"a slash too many":               {"GET", "/api/v1/organizations/", contract.CodeNotFound},
		"another method":                 {"DELETE", "/api/v1/organizations", contract.CodeMethodNotAllowed},
		"a path that climbs":             {"GET", "/api/v1/organizations/../me", contract.CodeNotFound},
		"a slash in a name":              {"GET", "/api/v1/organizations/a%2Fb", contract.CodeNotFound},
		"a name nothing can have":        {"GET", "/api/v1/organizations/UPPER", contract.CodeNotFound},
		"a version that is not a number": {"GET", "/api/v1/organizations/a/secrets/b/versions/one", contract.CodeNotFound},
		"version 0":                      {"GET", "/api/v1/organizations/a/secrets/b/versions/0", contract.CodeNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.do(tc.method, tc.path, "")
			if p := a.problem(t); p.Code() != tc.code {
				t.Errorf("got %d %s", a.status, a.body)
			}
			if tc.code == contract.CodeMethodNotAllowed && a.header.Get("Allow") == "" {
				t.Error("no Allow header")
			}
		})
	}
}

func TestARequestIsLoggedOnce(t *testing.T) {
	w := &world{t: t}
	w.serve(failing{store: store.ErrNotFound})
	w.do("GET", "/api/v1/organizations/acme/secrets?q=needle", "")
	log := w.log.String()
	for _, want := range []string{`"msg":"request"`, `"principal":"token:bootstrap"`, `"action":"secret.list"`, `"operation":"listSecrets"`, `"status":404`, `"duration_ms":`, `"request_id":"0`, `"reason":"not-found"`} {
		if !strings.Contains(log, want) {
			t.Errorf("log has no %s: %s", want, log)
		}
	}
	if strings.Count(log, "\n") != 1 || strings.Contains(log, "needle") || strings.Contains(log, w.token) {
		t.Errorf("log: %s", log)
	}
}

func TestAForwardedAddressIsNotBelieved(t *testing.T) {
	w := &world{t: t}
	w.serve(failing{store: store.ErrNotFound})
	w.do("GET", "/api/v1/me", "", "X-Forwarded-For", "203.0.113.9", "X-Real-IP", "203.0.113.9", "X-Request-Id", "mine")
	if log := w.log.String(); strings.Contains(log, "203.0.113.9") || !strings.Contains(log, "127.0.0.1") || strings.Contains(log, "mine") {
		t.Errorf("log: %s", log)
	}
}

func TestTheRateIsLimitedBeforeAnythingIsDone(t *testing.T) {
	w := &world{t: t}
	w.serve(failing{store: store.ErrNotFound}, func(c *api.Config) { c.Rate, c.Burst = 0.001, 2 }) // a thousand seconds for one request
	for range 2 {
		w.do("GET", "/api/v1/me", "")
	}
	a := w.do("GET", "/api/v1/me", "")
	if p := a.problem(t); p.Code() != contract.CodeRateLimited || a.header.Get("Retry-After") == "" {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if seconds, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || seconds < 2 || seconds > 1000 {
		t.Errorf("Retry-After is %q, want what is left of the time the bucket needs", a.header.Get("Retry-After"))
	}
}

func TestLimiter(t *testing.T) {
	now := time.Unix(1000, 0)
	t.Run("each source has its own bucket, IPv6 by network", func(t *testing.T) {
		allow := api.NewLimiter(1, 1)
		if !allow("192.0.2.1", now) || allow("192.0.2.1", now) || !allow("192.0.2.2", now) {
			t.Error("IPv4")
		}
		if !allow("2001:db8::1", now) || allow("2001:db8::2", now) || !allow("2001:db8:0:1::1", now) {
			t.Error("IPv6")
		}
		if !allow("192.0.2.1", now.Add(time.Second)) {
			t.Error("no refill")
		}
	})
	t.Run("spraying from many addresses neither frees nor starves anybody", func(t *testing.T) {
		allow := api.NewLimiter(0.001, 1)
		address := func(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255) }
		for i := range api.MaxSources {
			allow(address(i), now)
		}
		if allow(address(0), now) {
			t.Error("the first source got a fresh bucket")
		}
		if !allow("192.0.2.1", now) || allow("192.0.2.2", now) {
			t.Error("sources without room do not share one bucket")
		}
		later := now.Add(2000 * time.Second)
		if !allow("192.0.2.3", later) || !allow("192.0.2.4", later) {
			t.Error("idle sources are not forgotten")
		}
	})
}

func TestALargeBodyIsRefusedUnread(t *testing.T) {
	h, err := api.New(api.Config{Store: failing{store: store.ErrNotFound}, Checker: checks{}, Explainer: &resolve.Explainer{}, Issuers: anyIssuer{}, Authenticator: caller{principal: authz.Principal{Type: "token", ID: "x", Admin: true}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, length := range map[string]int64{"announced": 1 << 30, "not announced": -1} {
		t.Run(name, func(t *testing.T) {
			body := &counting{r: endless{}}
			r := httptest.NewRequest("POST", "/api/v1/organizations/acme/secrets", body)
			r.Header.Set("Content-Type", "application/json")
			r.ContentLength = length
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			if rec.Code != http.StatusRequestEntityTooLarge || body.n > 1<<20 {
				t.Errorf("%d after %d bytes", rec.Code, body.n)
			}
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type counting struct {
	r io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func or(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}
