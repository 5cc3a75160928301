// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
)

// A command line signs in as RFC 8628 has it, at pages which are no operations of the API's document.
const (
	devicePath  = "/auth/device"
	tokenPath   = "/auth/token"
	webClient   = "lanyard-cli"
	deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"
	slowDown    = 5 * time.Second // what RFC 8628 has added to the interval
	// sessionPrefix is what the text of a command line's session begins with.
	sessionPrefix = "lyd_cli_"
	maxOAuthBody  = 64 << 10
)

// beginning is the registry's answer to who begins.
type beginning struct {
	DeviceCode      string `json:"device_code"`
	UserCode        string `json:"user_code"`
	VerificationURI string `json:"verification_uri"`
	ExpiresIn       int    `json:"expires_in"`
	Interval        int    `json:"interval"`
}

// oauthAnswer is an answer of the token endpoint, of either kind.
type oauthAnswer struct {
	AccessToken string `json:"access_token"`
	Error       string `json:"error"`
}

// webToken has a person sign in with a browser, and returns the session that the registry then gives. It waits until the person decided, the code is too old, or ctx ends.
func (a *app) webToken(ctx context.Context, e endpoint) (redact.Value, error) {
	if a.flags.tokenFile != "" {
		return redact.Value{}, misuse("", "--web and --token-file exclude each other")
	}
	client, err := e.http()
	if err != nil {
		return redact.Value{}, err
	}
	defer client.CloseIdleConnections()
	host, err := os.Hostname()
	if err != nil {
		host = "" // the page says that it is not known
	}
	var b beginning
	status, err := postForm(ctx, client, strings.TrimSuffix(e.server, "/")+devicePath, url.Values{"client_id": {webClient}, "host": {host}}, &b)
	switch {
	case err != nil:
		return redact.Value{}, err
	case status == http.StatusNotFound:
		return redact.Value{}, failed(Failure, "log in with a token: --token-file", errors.New("this registry has no OpenID provider at which people could sign in"))
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		return redact.Value{}, failed(Unavailable, "try again in a moment", errors.New("the registry lets nobody begin now"))
	case status != http.StatusOK || b.DeviceCode == "" || b.UserCode == "" || b.VerificationURI == "":
		return redact.Value{}, failed(Failure, "compare the versions of this program and the registry", fmt.Errorf("beginning to sign in: the registry answered with status %d", status))
	}
	if _, err := fmt.Fprintf(a.Err, "Open this page in a browser, on any machine:\n\n  %s\n\nsign in, and type this code there:\n\n  %s\n\nWaiting. Tell nobody the code.\n",
		harmless(b.VerificationURI), harmless(b.UserCode)); err != nil {
		return redact.Value{}, err
	}
	return awaitDecision(ctx, client, strings.TrimSuffix(e.server, "/")+tokenPath, b)
}

// awaitDecision asks again and again what the person decided. An outage is waited for, as long as the code lives.
func awaitDecision(ctx context.Context, client *http.Client, address string, b beginning) (redact.Value, error) {
	pause := max(time.Duration(b.Interval)*time.Second, time.Second)
	over := time.NewTimer(time.Duration(b.ExpiresIn) * time.Second)
	defer over.Stop()
	for {
		next := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			next.Stop()
			return redact.Value{}, ctx.Err()
		case <-over.C:
			next.Stop()
			return redact.Value{}, tooLate()
		case <-next.C:
		}
		var said oauthAnswer
		status, err := postForm(ctx, client, address, url.Values{"grant_type": {deviceGrant}, "client_id": {webClient}, "device_code": {b.DeviceCode}}, &said)
		switch {
		case ctx.Err() != nil:
			return redact.Value{}, ctx.Err()
		case err != nil || status >= http.StatusInternalServerError || status == http.StatusTooManyRequests || said.Error == "authorization_pending":
		case status == http.StatusOK && said.AccessToken != "":
			return checkToken([]byte(said.AccessToken), "the registry's answer")
		case said.Error == "slow_down":
			pause += slowDown
		case said.Error == "access_denied":
			return redact.Value{}, failed(Denied, "", errors.New("it was refused in the browser"))
		case said.Error == "expired_token":
			return redact.Value{}, tooLate()
		default:
			return redact.Value{}, failed(Failure, "compare the versions of this program and the registry", fmt.Errorf("waiting for the sign-in: the registry answered with status %d", status))
		}
	}
}

func tooLate() error {
	return failed(Failure, "begin again", errors.New("nobody signed in with the code before it ended"))
}

// postForm sends a form and decodes the answer's JSON, if it is that.
func postForm(ctx context.Context, client *http.Client, address string, form url.Values, into any) (status int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, fmt.Errorf("asking the registry: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(r)
	if err != nil {
		return 0, unreachable(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxOAuthBody))
	if err != nil {
		return 0, unreachable(err)
	}
	_ = json.Unmarshal(body, into) // what is no JSON leaves it empty, which no caller takes for an answer
	return resp.StatusCode, nil
}

// harmless is a text without what a terminal would obey.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, text)
}
