// SPDX-License-Identifier: Apache-2.0

package installation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Browser is a person's: it keeps cookies, follows redirects and verifies what it talks to. It knows the registry and the OpenID provider by the names of their Services.
type Browser struct {
	client   *http.Client
	password string
}

// Page is an answer that was read.
type Page struct {
	Status int
	URL    *url.URL // after all redirects
	Body   string
}

// Browser returns one that nobody has used. It needs Config.People.
func (i *Installation) Browser(ctx context.Context) (*Browser, error) {
	addresses := make(map[string]string, 2) // host:port → the same by cluster IP, which is what this machine reaches
	for host, service := range map[string][2]string{registryHost: {Namespace, Release + "-registry"}, openidHost: {openidNamespace, openidName}} {
		found, err := i.Client.CoreV1().Services(service[0]).Get(ctx, service[1], metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("finding the Service %s: %w", host, err)
		}
		addresses[net.JoinHostPort(host, "443")] = net.JoinHostPort(found.Spec.ClusterIP, "443")
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(i.registryCA) || !roots.AppendCertsFromPEM(i.openidCA) {
		return nil, errors.New("an authority is no certificate")
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		known, ok := addresses[address]
		if !ok {
			return nil, fmt.Errorf("%s is neither the registry nor the OpenID provider", address)
		}
		return new(net.Dialer).DialContext(ctx, network, known)
	}
	transport := &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	return &Browser{&http.Client{Jar: jar, Transport: transport, Timeout: 30 * time.Second}, i.password}, nil
}

// API is the administrators' API with the browser's session, as a page of the registry's own would call it.
func (b *Browser) API() *API { return &API{base: publicURL, client: b.client} }

// Get visits a page: a path of the registry's, or an address.
func (b *Browser) Get(ctx context.Context, address string) (Page, error) {
	return b.visit(ctx, http.MethodGet, address, nil)
}

// Post sends a form to the origin that showed it.
func (b *Browser) Post(ctx context.Context, address string, form url.Values) (Page, error) {
	return b.visit(ctx, http.MethodPost, address, form)
}

func (b *Browser) visit(ctx context.Context, method, address string, form url.Values) (Page, error) {
	if strings.HasPrefix(address, "/") {
		address = publicURL + address
	}
	request, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return Page{}, err
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	response, err := b.client.Do(request)
	if err != nil {
		return Page{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return Page{response.StatusCode, response.Request.URL, string(body)}, err
}

// Field returns the value of a hidden field of the page's form.
func (p Page) Field(name string) (string, error) {
	found := regexp.MustCompile(`name="` + regexp.QuoteMeta(name) + `" value="([^"]*)"`).FindStringSubmatch(p.Body)
	if found == nil {
		return "", fmt.Errorf("%s%s answered %d without a field %s", p.URL.Host, p.URL.Path, p.Status, name)
	}
	return html.UnescapeString(found[1]), nil
}

// SignIn goes to the registry's login, fills in the form that the OpenID provider shows, comes back, and returns who the registry says has signed in.
func (b *Browser) SignIn(ctx context.Context, person string) (principal string, err error) {
	form, err := b.Get(ctx, "/auth/login")
	if err != nil {
		return "", fmt.Errorf("going to the login: %w", err)
	}
	id, err := form.Field("id")
	if err != nil {
		return "", fmt.Errorf("going to the login: %w", err)
	}
	page, err := b.Post(ctx, "https://"+openidHost+"/login/username", url.Values{"username": {person}, "password": {b.password}, "id": {id}})
	if err != nil {
		return "", fmt.Errorf("signing in: %w", err)
	}
	if page.Status != http.StatusOK || page.URL.Host != registryHost || page.URL.Path != "/auth/" {
		return "", fmt.Errorf("signing in ended at %s%s with status %d", page.URL.Host, page.URL.Path, page.Status)
	}
	var me struct{ Principal string }
	if err := b.API().Call(ctx, "GET", "/api/v1/me", nil, &me); err != nil {
		return "", err
	}
	return me.Principal, nil
}
