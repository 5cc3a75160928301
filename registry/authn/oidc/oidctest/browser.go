// SPDX-License-Identifier: Apache-2.0

package oidctest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
)

// Browser is a client with a cookie jar, which follows redirects. It believes every certificate.
type Browser struct {
	*http.Client
	// UserAgent is what it calls itself.
	UserAgent string
}

// NewBrowser returns a browser nobody has used.
func NewBrowser() *Browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err)
	}
	return &Browser{&http.Client{Jar: jar, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}, "test browser"} //nolint:gosec // tests only
}

// Page is an answer that was read.
type Page struct {
	Status int
	Header http.Header
	URL    *url.URL // after all redirects
	Body   string
}

// Get visits an address.
func (b *Browser) Get(ctx context.Context, address string) (Page, error) {
	return b.do(ctx, http.MethodGet, address, nil)
}

// Post sends a form, as a page of this origin does. Headers are name, value, name, value, ….
func (b *Browser) Post(ctx context.Context, address string, form url.Values, headers ...string) (Page, error) {
	return b.do(ctx, http.MethodPost, address, form, headers...)
}

func (b *Browser) do(ctx context.Context, method, address string, form url.Values, headers ...string) (Page, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return Page{}, err
	}
	r.Header.Set("User-Agent", b.UserAgent)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.Do(r)
	if err != nil {
		return Page{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return Page{resp.StatusCode, resp.Header, resp.Request.URL, string(body)}, err
}

var requestField = regexp.MustCompile(`name="id" value="([^"]+)"`)

// SignIn visits an address that leads to the login form of the real provider, fills it in as somebody, and returns where that ends.
func (b *Browser) SignIn(ctx context.Context, address, user string) (Page, error) {
	form, err := b.Get(ctx, address)
	if err != nil {
		return form, err
	}
	id := requestField.FindStringSubmatch(form.Body)
	if id == nil {
		return form, fmt.Errorf("no login form at %s: %w", form.URL.Redacted(), errors.New(http.StatusText(form.Status)))
	}
	return b.Post(ctx, form.URL.Scheme+"://"+form.URL.Host+"/login/username", url.Values{"username": {user}, "password": {Password}, "id": {id[1]}})
}

// Stay follows no redirect; for Browser.CheckRedirect.
func Stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
