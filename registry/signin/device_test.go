// SPDX-License-Identifier: Apache-2.0

package signin_test

import (
	"context"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/authn/oidc/oidctest"
	"github.com/lanyard-dev/lanyard/registry/authn/session"
	"github.com/lanyard-dev/lanyard/registry/signin"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// begunDevice is what a command line is told when it begins.
type begunDevice struct {
	DeviceCode      string `json:"device_code"`
	UserCode        string `json:"user_code"`
	VerificationURI string `json:"verification_uri"`
	Complete        string `json:"verification_uri_complete"`
	ExpiresIn       int    `json:"expires_in"`
	Interval        int    `json:"interval"`
}

// said is what a command line is told when it polls.
type said struct {
	Status      int
	Error       string `json:"error"`
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
}

// commandLine has no cookies.
func commandLine() *oidctest.Browser {
	b := oidctest.NewBrowser()
	b.Jar, b.UserAgent = nil, "lanyard/test"
	return b
}

func (w *world) begin(host string) begunDevice {
	w.t.Helper()
	page, err := commandLine().Post(w.t.Context(), w.url+signin.DevicePath, url.Values{"client_id": {"lanyard-cli"}, "host": {host}})
	w.check(page, err, 200, "")
	var d begunDevice
	if err := json.Unmarshal([]byte(page.Body), &d); err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *world) poll(deviceCode string) said {
	w.t.Helper()
	page, err := commandLine().Post(w.t.Context(), w.url+signin.TokenPath, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {"lanyard-cli"}, "device_code": {deviceCode},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	a := said{Status: page.Status}
	if err := json.Unmarshal([]byte(page.Body), &a); err != nil {
		w.t.Fatal(err)
	}
	return a
}

// polled fails the test unless a poll is answered with an error.
func (w *world) polled(deviceCode, want string) {
	w.t.Helper()
	if got := w.poll(deviceCode); got.Error != want || got.Status != 400 || got.AccessToken != "" {
		w.t.Errorf("the poll says %+v, want %s", got, want)
	}
}

var ticketField = regexp.MustCompile(`name="ticket" value="([^"]+)"`)

// look types a user code and returns the ticket of the page that asks.
func (w *world) look(b *oidctest.Browser, userCode string) string {
	w.t.Helper()
	page, err := b.Post(w.t.Context(), w.url+"/auth/device/code", url.Values{"user_code": {userCode}})
	w.check(page, err, 200, "May this command line act as you?")
	found := ticketField.FindStringSubmatch(page.Body)
	if found == nil {
		w.t.Fatalf("no ticket:\n%s", page.Body)
	}
	return html.UnescapeString(found[1])
}

func (w *world) answer(b *oidctest.Browser, ticket, answer string, status int, text string, headers ...string) {
	w.t.Helper()
	page, err := b.Post(w.t.Context(), w.url+"/auth/device/answer", url.Values{"ticket": {ticket}, "answer": {answer}}, headers...)
	w.check(page, err, status, text)
}

// deviceReasons are those of the refusals so far, which it forgets.
func (d *denials) deviceReasons() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var reasons []string
	for _, e := range d.events {
		if strings.HasPrefix(e.Actor, "user:") && e.Action == "device.approve" {
			reasons = append(reasons, e.Reason)
		}
	}
	d.events = nil
	return strings.Join(reasons, " ")
}

func asBearer(t *testing.T, w *world, method, path, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, w.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := commandLine().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestAPersonLetsACommandLineInOnAnotherReplicaThanItAsked(t *testing.T) {
	w, p := real(t)
	one, two := *w, *w // two listeners, one store, one key
	two.serve(func(string) *oidctest.Provider { return p })
	if one.url == two.url {
		t.Fatal("there is one replica")
	}
	d := two.begin("laptop.example <b>")
	if d.Complete != "" || d.VerificationURI != two.url+"/auth/device" || d.ExpiresIn != 600 || !regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$`).MatchString(d.UserCode) {
		t.Errorf("begun %+v", d)
	}
	two.polled(d.DeviceCode, "authorization_pending")

	// Who is not signed in does so first, and comes back.
	b := oidctest.NewBrowser()
	page, err := b.SignIn(t.Context(), one.url+signin.DevicePath, "alice")
	one.check(page, err, 200, "Type the code")
	if page.URL.Path != signin.DevicePath {
		t.Errorf("came back to %s", page.URL)
	}
	page, err = b.Post(t.Context(), one.url+"/auth/device/code", url.Values{"user_code": {strings.ToLower(strings.NewReplacer("-", " ", "0", "o", "1", "l").Replace(d.UserCode))}})
	one.check(page, err, 200, "user:"+p.Issuer+"#a-1")
	for _, want := range []string{"laptop.example &lt;b&gt;", "lanyard/test", "127.0.0.1", "If somebody sent you the code"} {
		if !strings.Contains(page.Body, want) {
			t.Errorf("the page does not say %q:\n%s", want, page.Body)
		}
	}
	one.answer(b, one.look(b, d.UserCode), "let-in", 200, "is let in")

	got := two.poll(d.DeviceCode)
	if got.Status != 200 || got.TokenType != "Bearer" || !strings.HasPrefix(got.AccessToken, session.CLIPrefix) || got.ExpiresIn < 11*3600 {
		t.Fatalf("got %+v", got)
	}
	two.polled(d.DeviceCode, "expired_token") // it is used up
	if status := asBearer(t, &one, "GET", "/api/v1/me", got.AccessToken); status != 200 {
		t.Errorf("the session is answered %d", status)
	}
	list := call[contract.SessionList](&one, b, "/api/v1/me/sessions").Items
	if len(list) != 2 || list[0].Kind != "cli" || *list[0].Client != "lanyard/test on laptop.example <b>" || list[0].IdleSeconds != 12*3600 {
		t.Fatalf("sessions %+v", list)
	}
	for what, text := range map[string]string{"device code": d.DeviceCode, "user code": d.UserCode, "session": got.AccessToken} {
		if strings.Contains(w.log.String(), text) {
			t.Errorf("the %s is in the log", what)
		}
	}
	if status := asBearer(t, &one, "DELETE", "/api/v1/me/sessions/"+list[0].ID, got.AccessToken); status != 204 {
		t.Errorf("ending it: %d", status)
	}
	if status := asBearer(t, &two, "GET", "/api/v1/me", got.AccessToken); status != 401 {
		t.Errorf("the ended session is answered %d", status)
	}
}

func TestACommandLineThatIsRefusedIsToldSo(t *testing.T) {
	w, _ := real(t)
	b, d := w.signedIn("alice"), w.begin("laptop")
	w.answer(b, w.look(b, d.UserCode), "refuse", 200, "is refused")
	w.polled(d.DeviceCode, "access_denied")
	w.polled(d.DeviceCode, "access_denied")
}

func TestOnlyTheBrowserThatWasShownADeviceDecidesAboutItAndOnce(t *testing.T) {
	w, _ := real(t)
	alice, bob, d := w.signedIn("alice"), w.signedIn("bob"), w.begin("laptop")
	ticket := w.look(alice, d.UserCode)
	other := w.signedIn("alice") // the same person in another browser
	for name, try := range map[string]func(){
		"somebody else":   func() { w.answer(bob, ticket, "let-in", 400, "not decided here") },
		"another browser": func() { w.answer(other, ticket, "let-in", 400, "not decided here") },
		"nobody":          func() { w.answer(oidctest.NewBrowser(), ticket, "let-in", 401, "You are not signed in") },
		"another site's page": func() {
			w.answer(alice, ticket, "let-in", 403, "did not come from here", "Sec-Fetch-Site", "cross-site")
		},
		"a sibling site's page": func() {
			w.answer(alice, ticket, "let-in", 403, "did not come from here", "Sec-Fetch-Site", "same-site")
		},
		"an old browser elsewhere": func() {
			w.answer(alice, ticket, "let-in", 403, "did not come from here", "Sec-Fetch-Site", "", "Origin", "https://evil.example")
		},
		"no ticket":              func() { w.answer(alice, "", "let-in", 400, "not decided here") },
		"a ticket somebody made": func() { w.answer(alice, strings.Repeat("A", len(ticket)), "let-in", 400, "not decided here") },
		"a ticket cut":           func() { w.answer(alice, ticket[:len(ticket)-4], "let-in", 400, "not decided here") },
		"no answer":              func() { w.answer(alice, ticket, "", 400, "not decided here") },
		"another answer":         func() { w.answer(alice, ticket, "approve", 400, "not decided here") },
		"the code as the ticket": func() { w.answer(alice, d.UserCode, "let-in", 400, "not decided here") },
		"a link": func() {
			w.visit(alice, "/auth/device/answer?"+url.Values{"ticket": {ticket}, "answer": {"let-in"}}.Encode(), 404, "")
		},
		"a body that is no form": func() {
			w.answer(alice, ticket, "let-in", 400, "not decided here", "Content-Type", "text/plain")
		},
		"the code by a link": func() { w.visit(alice, "/auth/device/code?user_code="+d.UserCode, 404, "") },
	} {
		try()
		if got := w.poll(d.DeviceCode); got.Error != "authorization_pending" {
			t.Errorf("%s: the poll says %+v", name, got)
		}
	}
	w.answer(alice, ticket, "let-in", 200, "is let in")
	w.answer(alice, ticket, "let-in", 400, "not decided here")
	w.answer(alice, ticket, "refuse", 400, "not decided here")
	page, err := alice.Post(t.Context(), w.url+"/auth/device/code", url.Values{"user_code": {d.UserCode}})
	w.check(page, err, 400, "leads nowhere")
	if got := w.poll(d.DeviceCode); got.Status != 200 {
		t.Errorf("in the end: %+v", got)
	}
}

func TestACommandLineCannotLetInTheNext(t *testing.T) {
	w, _ := real(t)
	b, d := w.signedIn("alice"), w.begin("laptop")
	w.answer(b, w.look(b, d.UserCode), "let-in", 200, "")
	token, next := w.poll(d.DeviceCode).AccessToken, w.begin("laptop")
	page, err := commandLine().Post(t.Context(), w.url+"/auth/device/code", url.Values{"user_code": {next.UserCode}}, "Authorization", "Bearer "+token)
	w.check(page, err, 401, "You are not signed in")
}

func TestGuessingUserCodesEndsSoonAndIsAudited(t *testing.T) {
	w, _ := real(t)
	b, d := w.signedIn("alice"), w.begin("laptop")
	for i := range 10 {
		page, err := b.Post(t.Context(), w.url+"/auth/device/code", url.Values{"user_code": {"0000-000" + string(rune('0'+i))}})
		w.check(page, err, 400, "leads nowhere")
	}
	for range 2 { // the right one too
		page, err := b.Post(t.Context(), w.url+"/auth/device/code", url.Values{"user_code": {d.UserCode}})
		w.check(page, err, 429, "Too many codes")
	}
	if got := w.denied.deviceReasons(); got != strings.Repeat("code ", 10)+"guessing guessing" {
		t.Errorf("audited as %q", got)
	}
	other := w.signedIn("bob")
	w.answer(other, w.look(other, d.UserCode), "refuse", 200, "") // one who guesses keeps nobody else from it
}

func TestPollingIsForTheOneThatBegan(t *testing.T) {
	w, _ := real(t)
	d := w.begin("laptop")
	grant := "urn:ietf:params:oauth:grant-type:device_code"
	other := strings.Replace(w.begin("desk").DeviceCode, "lyd_dev_", "", 1)
	for name, tc := range map[string]struct {
		form url.Values
		want string
	}{
		"another grant":           {url.Values{"grant_type": {"authorization_code"}, "client_id": {"lanyard-cli"}, "device_code": {d.DeviceCode}}, "unsupported_grant_type"},
		"no grant":                {url.Values{"client_id": {"lanyard-cli"}, "device_code": {d.DeviceCode}}, "unsupported_grant_type"},
		"another client":          {url.Values{"grant_type": {grant}, "client_id": {"other"}, "device_code": {d.DeviceCode}}, "invalid_request"},
		"no client":               {url.Values{"grant_type": {grant}, "device_code": {d.DeviceCode}}, "invalid_request"},
		"no code":                 {url.Values{"grant_type": {grant}, "client_id": {"lanyard-cli"}}, "invalid_request"},
		"two codes":               {url.Values{"grant_type": {grant}, "client_id": {"lanyard-cli"}, "device_code": {d.DeviceCode, d.DeviceCode}}, "invalid_request"},
		"the user code":           {url.Values{"grant_type": {grant}, "client_id": {"lanyard-cli"}, "device_code": {d.UserCode}}, "invalid_request"},
		"a code without a prefix": {url.Values{"grant_type": {grant}, "client_id": {"lanyard-cli"}, "device_code": {other}}, "invalid_request"},
		"a form too long":         {url.Values{"grant_type": {grant}, "client_id": {"lanyard-cli"}, "device_code": {strings.Repeat("x", 9000)}}, "invalid_request"},
	} {
		page, err := commandLine().Post(t.Context(), w.url+signin.TokenPath, tc.form)
		w.check(page, err, 400, `"error":"`+tc.want+`"`)
		if page.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: the answer may be kept", name)
		}
	}
	w.polled(d.DeviceCode, "authorization_pending")
}

func TestOfTwoThatPollOneGetsTheSession(t *testing.T) {
	w, _ := real(t)
	b, d := w.signedIn("alice"), w.begin("laptop")
	w.answer(b, w.look(b, d.UserCode), "let-in", 200, "")
	var all sync.WaitGroup
	answers := make(chan said, 8)
	for range cap(answers) {
		all.Go(func() { answers <- w.poll(d.DeviceCode) })
	}
	all.Wait()
	close(answers)
	winners := 0
	for a := range answers {
		switch {
		case a.Status == 200:
			winners++
		case a.Error != "expired_token" && a.Error != "slow_down":
			t.Errorf("a loser is told %+v", a)
		}
	}
	if winners != 1 {
		t.Errorf("%d sessions", winners)
	}
}

func TestWhoPollsTooFastIsSlowedDownAndWhoBeginsTooOftenRefused(t *testing.T) {
	w, _ := real(t, func(c *signin.Config) { c.PollInterval = time.Hour })
	d := w.begin("laptop")
	if d.Interval != 3600 {
		t.Errorf("interval %d", d.Interval)
	}
	w.polled(d.DeviceCode, "authorization_pending")
	w.polled(d.DeviceCode, "slow_down")
	w.polled(w.begin("desk").DeviceCode, "authorization_pending") // each device by itself
	refused := 0
	for range 60 {
		page, err := commandLine().Post(t.Context(), w.url+signin.DevicePath, url.Values{"client_id": {"lanyard-cli"}})
		if err != nil {
			t.Fatal(err)
		}
		if page.Status == 429 && page.Header.Get("Retry-After") != "" {
			refused++
		} else if page.Status != 200 {
			t.Errorf("status %d", page.Status)
		}
	}
	if refused == 0 {
		t.Error("one address began 62 times at once")
	}
	page, err := commandLine().Post(t.Context(), w.url+signin.DevicePath, url.Values{"client_id": {"another"}})
	w.check(page, err, 400, "invalid_request")
}

func TestADeviceWhoseRegistryCannotReadIsNotRefused(t *testing.T) {
	w, _ := real(t, func(c *signin.Config) { c.Store = away{c.Store} })
	page, err := commandLine().Post(t.Context(), w.url+signin.DevicePath, url.Values{"client_id": {"lanyard-cli"}})
	w.check(page, err, 503, "temporarily_unavailable")
	if got := w.poll("lyd_dev_0197a2b3-0000-7000-8000-00000000abcd_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_AAAAAA"); got.Error != "invalid_request" {
		t.Errorf("got %+v", got)
	}
	b := w.signedIn("alice")
	page, err = b.Post(t.Context(), w.url+"/auth/device/code", url.Values{"user_code": {"0000-0000"}})
	w.check(page, err, 503, "could not reach its store")
}

// away is a store whose etcd does not answer for devices.
type away struct{ signin.Store }

func (away) CreateDevice(context.Context, store.Act, store.Device, string, func(string) [32]byte) (store.Device, error) {
	return store.Device{}, store.ErrUnavailable
}

func (away) DeviceByCode(context.Context, string) (store.Device, error) {
	return store.Device{}, store.ErrUnavailable
}
