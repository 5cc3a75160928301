// SPDX-License-Identifier: Apache-2.0

package installation

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// API calls the administrators' API over HTTP.
type API struct {
	base   string
	token  string // empty: the client has the cookie of a session
	client *http.Client
}

// connect reaches the registry's Service from this machine, by its cluster IP, and verifies it as any client would.
func (i *Installation) connect(ctx context.Context) (*API, error) {
	core := i.Client.CoreV1()
	service, err := core.Services(Namespace).Get(ctx, Release+"-registry", metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("finding the registry's Service: %w", err)
	}
	bundle, err := core.ConfigMaps(Namespace).Get(ctx, Release+"-registry-ca", metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("finding the registry's certificate authority: %w", err)
	}
	token, err := core.Secrets(Namespace).Get(ctx, Release+"-bootstrap", metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("finding the bootstrap token: %w", err)
	}
	i.registryCA = []byte(bundle.Data["ca.crt"])
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(i.registryCA) {
		return nil, errors.New("the registry's ConfigMap holds no certificate")
	}
	return &API{
		base:  "https://" + net.JoinHostPort(service.Spec.ClusterIP, "443"),
		token: string(token.Data["token"]),
		client: &http.Client{
			Timeout:   30 * time.Second,
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: registryHost, MinVersion: tls.VersionTLS12}},
		},
	}, nil
}

// Token is the token it sends; that of an [Installation] is the bootstrap token.
func (a *API) Token() string { return a.token }

// As is the API for whoever has another token.
func (a *API) As(token string) *API {
	other := *a
	other.token = token
	return &other
}

// At is the API as one replica serves it, at host:port, whatever Service is in front of it.
func (a *API) At(address string) *API {
	other := *a
	other.base = "https://" + address
	return &other
}

// StatusError is an answer of the API that is not 2xx.
type StatusError struct {
	Status int
	Body   string // problem+json; never holds a value
}

func (e *StatusError) Error() string { return fmt.Sprintf("status %d: %s", e.Status, e.Body) }

// Call sends in as JSON (unless nil) and decodes the answer into out (unless nil). The error is a *StatusError when the API refused.
func (a *API) Call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encoding the request: %w", err)
		}
		body = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return err
	}
	if a.token != "" {
		request.Header.Set("Authorization", "Bearer "+a.token)
	} else {
		request.Header.Set("Sec-Fetch-Site", "same-origin") // as browsers say of a page's own requests
	}
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := a.client.Do(request)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 8<<20))
	if err != nil {
		return fmt.Errorf("reading the answer of %s %s: %w", method, path, err)
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %w", method, path, &StatusError{response.StatusCode, strings.TrimSpace(string(answer))})
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("decoding the answer of %s %s: %w", method, path, err)
	}
	return nil
}
