// SPDX-License-Identifier: Apache-2.0

package signin

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"github.com/lanyard-dev/lanyard/registry/store"
)

// page is what a person reads. The pages are whole in themselves: they load nothing and run nothing.
type page struct {
	Title, Text string
	Session     *store.Session // who is signed in; the page offers to sign out
	SignIn      bool           // the page offers to sign in
	AskCode     bool           // the page asks for a user code
	Device      *store.Device  // the page asks whether it may come in, with Ticket
	Ticket      string
	Principal   string // as whom it would
	RequestID   string
}

var (
	signedInPage    = page{Title: "You are signed in"}
	signedOutPage   = page{Title: "You are not signed in", SignIn: true}
	notFoundPage    = page{Title: "There is no such page"}
	badReturnPage   = page{Title: "This link is not good", Text: "It would lead away from this registry after signing in."}
	notReadyPage    = page{Title: "Nobody can sign in now", Text: "The registry has not reached the OpenID provider. It goes on trying; its log says why. Try again in a moment."}
	unavailablePage = page{Title: "That did not work", Text: "The registry could not reach its store. Try again in a moment."}
	stalePage       = page{Title: "This sign-in is over", Text: "It took too long, was finished before, or began in another browser.", SignIn: true}
	refusedPage     = page{Title: "You were not signed in", Text: "The OpenID provider did not say who you are in a way this registry accepts.", SignIn: true}
	crossOriginPage = page{Title: "This did not come from here", Text: "The page of another site sent this request."}

	codePage      = page{Title: "Let a command line in", AskCode: true, Text: "Type the code that “lanyard login --web” shows you."}
	wrongCodePage = page{Title: "This code leads nowhere", AskCode: true, Text: "It is mistyped, older than ten minutes, or was used before. Compare it with what your terminal shows, or begin again there."}
	guessingPage  = page{Title: "Too many codes", Text: "Wait a minute, then type the code your terminal shows now."}
	devicePage    = page{
		Title: "May this command line act as you?",
		Text: "Go on only if you began this yourself, a moment ago, on the machine below. If somebody sent you the code, by whatever message or call and " +
			"whoever they say they are, refuse: they would act as you.",
	}
	wrongTicketPage    = page{Title: "That was not decided here", AskCode: true, Text: "It took too long, was decided before, or was shown to another browser. Type the code again."}
	approvedDevicePage = page{Title: "The command line is let in", Text: "You can close this page. “lanyard session list” shows where you are signed in, and “lanyard session revoke” ends it."}
	refusedDevicePage  = page{Title: "The command line is refused", Text: "It gets nothing. If somebody sent you that code, tell those who run this registry."}
)

const style = `:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1.5rem}` +
	`h1{font-size:1.4rem}dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem}dt{opacity:.7}dd{margin:0;overflow-wrap:anywhere}` +
	`button,a.button{font:inherit;display:inline-block;margin:.75rem .5rem 0 0;padding:.4rem 1rem;border:1px solid;border-radius:.4rem;background:none;color:inherit;text-decoration:none;cursor:pointer}` +
	`small{opacity:.7}code{font-size:1.4rem;letter-spacing:.1em}`

var policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
}()

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"when": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") },
}).Parse(`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{{.Title}} · Lanyard</title><style>` + style + `</style></head>
<body>
<main>
<h1>{{.Title}}</h1>
{{with .Text}}<p>{{.}}</p>
{{end}}{{with .Session}}<dl>
{{with .Name}}<dt>Name</dt><dd>{{.}}</dd>
{{end}}{{with .Email}}<dt>E-mail</dt><dd>{{.}}</dd>
{{end}}<dt>Principal</dt><dd>{{.Principal}}</dd>
<dt>Until</dt><dd>{{when .ExpiresAt}}, or when it was not used for {{.Idle}}</dd>
</dl>
<form method="post" action="` + LogoutPath + `"><button>Sign out</button></form>
{{end}}{{if .AskCode}}<form method="post" action="` + codePath + `"><label>Code <input name="user_code" required autofocus autocomplete="off" autocapitalize="characters" spellcheck="false" size="12" maxlength="32"></label>
<button>Go on</button></form>
{{end}}{{with .Device}}<dl>
<dt>Machine</dt><dd>{{or .Host "it does not say"}}</dd>
<dt>Program</dt><dd>{{or .Client "it does not say"}}</dd>
<dt>Address</dt><dd>{{.SourceIP}}</dd>
<dt>Began</dt><dd>{{when .CreatedAt}}</dd>
<dt>Acts as</dt><dd>{{$.Principal}}</dd>
</dl>
<p><small>Machine and program are what it says of itself. The address is where its request came from.</small></p>
<form method="post" action="` + answerPath + `"><input type="hidden" name="ticket" value="{{$.Ticket}}"><button name="answer" value="refuse">Refuse</button><button name="answer" value="let-in">Let it in</button></form>
{{end}}{{if .SignIn}}<p><a class="button" href="` + LoginPath + `">Sign in</a></p>
{{end}}{{with .RequestID}}<p><small>Request {{.}}</small></p>
{{end}}</main>
</body>
</html>
`))

// show answers with a page. The request id is for those who ask why.
func (s *server) show(w http.ResponseWriter, status int, p page) {
	if status >= http.StatusBadRequest {
		p.RequestID = w.Header().Get("X-Request-Id")
	}
	var body bytes.Buffer
	if err := pageTemplate.Execute(&body, p); err != nil {
		s.Log.Error("page not rendered", "err", err)
		status = http.StatusInternalServerError
		body.Reset()
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
}
