// SPDX-License-Identifier: Apache-2.0

package aws_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/aws"
	"github.com/lanyard-dev/lanyard/registry/provider/providertest"
)

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// host trusts f as a token service.
func host(f *fakeAWS) provider.Host {
	return provider.Host{
		Egress:              &egress.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		TrustedAddresses:    []string{f.URL},
		ServiceAccountToken: func(context.Context, string) (redact.Value, error) { return redact.New([]byte(webToken)), nil },
	}
}

func static(t testing.TB, f *fakeAWS, kind string) provider.Record {
	return provider.Record{
		ID: "p1", Name: "aws-prod", Type: kind, Revision: 1,
		Config:      marshal(t, aws.Config{Region: "eu-central-1", Endpoint: f.URL, CABundle: f.bundle(), Auth: aws.Auth{Method: aws.MethodStatic}}),
		Credentials: redact.New(marshal(t, aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey})),
	}
}

func webIdentity(t testing.TB, f *fakeAWS, kind string) provider.Record {
	r := static(t, f, kind)
	r.Config = marshal(t, aws.Config{Region: "eu-central-1", Endpoint: f.URL, CABundle: f.bundle(), Auth: aws.Auth{Method: aws.MethodWebIdentity, RoleARN: role, STSEndpoint: f.URL}})
	r.Credentials = redact.Value{}
	return r
}

func TestConformance(t *testing.T) {
	for name, tc := range map[string]struct {
		kind   provider.Type
		record func(testing.TB, *fakeAWS, string) provider.Record
	}{
		"Secrets Manager with an access key":  {aws.SecretsManager(), static},
		"Secrets Manager with a web identity": {aws.SecretsManager(), webIdentity},
		"Parameter Store with an access key":  {aws.SSM(), static},
		"Parameter Store with a web identity": {aws.SSM(), webIdentity},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			providertest.Run(t, func(t *testing.T) providertest.Harness {
				f := serve(t)
				return harness(f, tc.kind, tc.record(t, f, tc.kind.Name))
			})
		})
	}
}

func harness(f *fakeAWS, kind provider.Type, r provider.Record) providertest.Harness {
	kept := func(path string) string { // as the server knows it
		if kind.Name == aws.SSMName {
			return "/" + path
		}
		return path
	}
	f.put(kept("lanyard/denied"), `{"a":"1"}`)
	f.denied[kept("lanyard/denied")] = true
	return providertest.Harness{
		Type: kind, Host: host(f), Record: r, Text: true, Denied: "lanyard/denied",
		Path: func(name string) string { return "lanyard/" + name },
		Put:  func(_ *testing.T, path, object string) { f.put(kept(path), object) },
		Throttle: func(*testing.T) func() {
			return f.fail(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "1")
				if r.Header.Get("X-Amz-Target") == "" {
					refuseLogin(w, http.StatusBadRequest, "Throttling")
					return
				}
				refuse(w, http.StatusBadRequest, "ThrottlingException", "Rate exceeded")
			})
		},
		Break: func(*testing.T) func() {
			return f.fail(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
		},
		Stall: func(t *testing.T) func() {
			ended, end := context.WithCancel(context.Background())
			t.Cleanup(end)
			undo := f.fail(func(_ http.ResponseWriter, r *http.Request) {
				select {
				case <-ended.Done():
				case <-r.Context().Done():
				}
			})
			return func() { undo(); end() }
		},
		EndTokens: func(*testing.T) { f.endSessions() },
	}
}

// read reads once, without a manager: what it costs the server can be counted.
func read(t testing.TB, kind provider.Type, h provider.Host, r provider.Record, path, version, key string) (string, *provider.Error) {
	t.Helper()
	p, err := kind.Open(r, h)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ref, err := kind.Path(path, version)
	var doc provider.Document
	if err == nil {
		doc, err = p.Read(t.Context(), ref)
	}
	if err == nil {
		var v redact.Value
		if v, err = doc.Value(key); err == nil {
			return string(v.Reveal()), nil
		}
	}
	e, ok := err.(*provider.Error)
	if !ok || strings.Contains(err.Error(), reflected) || strings.Contains(err.Error(), secretKey) {
		t.Fatalf("error %v is not a provider's or repeats what it must not", err)
	}
	return "", e
}

func TestVersionsArePinned(t *testing.T) {
	f := serve(t)
	for name, value := range map[string]any{
		"prod/db": "now", "prod/db@AWSPREVIOUS": "before", "prod/db@" + versionID: "first", "raw": []byte{0xff, 0},
		"/prod/db": "now", "/prod/db@3": "third", "/prod/db@blue": "blue", "db": "of no hierarchy",
	} {
		f.put(name, value)
	}
	for name, tc := range map[string]struct {
		kind          provider.Type
		path, version string
		want          string
		reason        provider.Reason
	}{
		"the newest secret":           {aws.SecretsManager(), "prod/db", "", "now", ""},
		"the stage of a secret":       {aws.SecretsManager(), "prod/db", "AWSPREVIOUS", "before", ""},
		"the version of a secret":     {aws.SecretsManager(), "prod/db", versionID, "first", ""},
		"a stage that is not there":   {aws.SecretsManager(), "prod/db", "AWSPENDING", "", provider.ReasonVersion},
		"a binary secret":             {aws.SecretsManager(), "raw", "", "\xff\x00", ""},
		"the newest parameter":        {aws.SSM(), "/prod/db", "", "now", ""},
		"the same, without its slash": {aws.SSM(), "prod/db", "", "now", ""},
		"the version of a parameter":  {aws.SSM(), "prod/db", "3", "third", ""},
		"the label of a parameter":    {aws.SSM(), "prod/db", "blue", "blue", ""},
		"a version that is not there": {aws.SSM(), "prod/db", "9", "", provider.ReasonVersion},
		"a parameter of no hierarchy": {aws.SSM(), "db", "", "of no hierarchy", ""},
		"a selector within the path":  {aws.SSM(), "prod/db:3", "", "", provider.ReasonReference},
		"version 0":                   {aws.SSM(), "prod/db", "0", "", provider.ReasonReference},
		"the ARN of another service":  {aws.SecretsManager(), "arn:aws:iam::123456789012:role/x", "", "", provider.ReasonReference},
		"a stage with a line break":   {aws.SecretsManager(), "prod/db", "a\nb", "", provider.ReasonReference},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(t, tc.kind, host(f), static(t, f, tc.kind.Name), tc.path, tc.version, "")
			if got != tc.want || (err == nil) != (tc.reason == "") || err != nil && err.Reason != tc.reason {
				t.Errorf("= %q, %v", got, err)
			}
		})
	}
	if _, err := read(t, aws.SSM(), host(f), static(t, f, aws.SSMName), "db", "", "key"); err == nil || err.Reason != provider.ReasonKey {
		t.Errorf("a key of a text that is no object: %v", err)
	}
}

func TestPrefixesOfParametersMayBeginWithASlash(t *testing.T) {
	f := serve(t)
	f.put("/prod/db", "1")
	r := static(t, f, aws.SSMName)
	r.AllowedPrefixes = []string{"/prod"}
	if got, err := read(t, aws.SSM(), host(f), r, "/prod/db", "", ""); err != nil || got != "1" {
		t.Errorf("= %q, %v", got, err)
	}
	if !aws.SSM().Allows("prod/db", r.AllowedPrefixes) || aws.SSM().Allows("production", r.AllowedPrefixes) {
		t.Error("Allows disagrees")
	}
}

func TestCodesOfAWS(t *testing.T) {
	f := serve(t)
	for code, want := range map[string]provider.Reason{
		"ThrottlingException": provider.ReasonRateLimit, "AccessDeniedException": provider.ReasonPermission, "DecryptionFailure": provider.ReasonPermission,
		"UnrecognizedClientException": provider.ReasonCredentials, "InvalidSignatureException": provider.ReasonCredentials, "ResourceNotFoundException": provider.ReasonPath,
		"InternalServiceError": provider.ReasonServer, "ValidationException": provider.ReasonRequestRejected, "InvalidRequestException": provider.ReasonRequestRejected,
	} {
		t.Run(code, func(t *testing.T) {
			asked := 0
			defer f.fail(func(w http.ResponseWriter, _ *http.Request) {
				asked++
				refuse(w, http.StatusBadRequest, code, reflected)
			})()
			_, err := read(t, aws.SecretsManager(), host(f), static(t, f, aws.SecretsManagerName), "prod/db", "", "")
			if err == nil || err.Reason != want {
				t.Errorf("error = %v, want %s", err, want)
			}
			if asked != 1 {
				t.Errorf("asked %d times: the retries of the SDK are on", asked)
			}
		})
	}
	defer f.fail(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusBadRequest, "InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion.")
	})()
	if _, err := read(t, aws.SecretsManager(), host(f), static(t, f, aws.SecretsManagerName), "prod/db", "", ""); err == nil || err.Kind != provider.KindNotFound {
		t.Errorf("a secret marked for deletion: %v", err)
	}
}

func TestAnswersThatAreNotThoseOfAWS(t *testing.T) {
	f := serve(t)
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		want   provider.Reason
	}{
		"a redirect is not followed": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, provider.ReasonRedirect},
		"not JSON": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(reflected)) }, provider.ReasonAnswer},
		"no value": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{}`)) }, provider.ReasonAnswer},
		"an answer without end": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"SecretString":"` + strings.Repeat("x", provider.MaxAnswer)))
		}, provider.ReasonAnswerTooLarge},
		"a connection that breaks": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, provider.ReasonUnreachable},
		"an error in words":        {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, reflected, http.StatusServiceUnavailable) }, provider.ReasonServer},
	} {
		for _, kind := range []provider.Type{aws.SecretsManager(), aws.SSM()} {
			t.Run(name+" from "+kind.Name, func(t *testing.T) {
				defer f.fail(tc.answer)()
				if _, err := read(t, kind, host(f), static(t, f, kind.Name), "prod/db", "", ""); err == nil || err.Reason != tc.want {
					t.Errorf("error = %v, want %s", err, tc.want)
				}
			})
		}
	}
}

func TestNothingIsTakenFromTheEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "POISONED", "AWS_SECRET_ACCESS_KEY": "poisoned", "AWS_SESSION_TOKEN": "poisoned", "AWS_REGION": "us-east-1", "AWS_PROFILE": "poisoned",
		"AWS_ENDPOINT_URL": "https://127.0.0.1:1", "AWS_ENDPOINT_URL_SECRETS_MANAGER": "https://127.0.0.1:1", "AWS_ENDPOINT_URL_STS": "https://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1",
		"AWS_ROLE_ARN": "poisoned", "AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent", "AWS_CONFIG_FILE": "/nonexistent", "AWS_MAX_ATTEMPTS": "9", "AWS_CA_BUNDLE": "/nonexistent",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1",
	} {
		t.Setenv(name, value)
	}
	f := serve(t)
	f.put("prod/db", "1")
	for _, r := range []provider.Record{static(t, f, aws.SecretsManagerName), webIdentity(t, f, aws.SecretsManagerName)} {
		if got, err := read(t, aws.SecretsManager(), host(f), r, "prod/db", "", ""); err != nil || got != "1" {
			t.Errorf("= %q, %v", got, err)
		}
		for name, values := range f.headers {
			if strings.Contains(strings.ToLower(strings.Join(values, " ")), "poisoned") {
				t.Errorf("header %s is poisoned", name)
			}
		}
	}
}

func TestTheRoleMayBeDenied(t *testing.T) {
	f := serve(t)
	h := host(f)
	h.ServiceAccountToken = func(context.Context, string) (redact.Value, error) { return redact.New([]byte("another")), nil }
	if _, err := read(t, aws.SSM(), h, webIdentity(t, f, aws.SSMName), "prod/db", "", ""); err == nil || err.Kind != provider.KindDenied || err.Reason != provider.ReasonCredentials {
		t.Errorf("error = %v", err)
	}
}

func TestCheckTellsWhoIsKnown(t *testing.T) {
	f := serve(t)
	for _, kind := range []provider.Type{aws.SecretsManager(), aws.SSM()} {
		r := static(t, f, kind.Name)
		r.Credentials = redact.New(marshal(t, aws.Credentials{AccessKeyID: "AKIASOMEBODYELSE", SecretAccessKey: secretKey}))
		p, err := kind.Open(r, host(f))
		if err != nil {
			t.Fatal(err)
		}
		if err, ok := p.Check(t.Context()).(*provider.Error); !ok || err.Reason != provider.ReasonCredentials {
			t.Errorf("%s: %v", kind.Name, err)
		}
		_ = p.Close()
	}
}

func TestRecordsThatBreakARule(t *testing.T) {
	f := serve(t)
	for name, tc := range map[string]struct {
		config, credentials string
		want                string
	}{
		"no region":                             {`{"auth":{"method":"static"}}`, ``, "config.region: "},
		"a region that is another host":         {`{"region":"eu-central-1.evil.example","auth":{"method":"static"}}`, ``, "config.region: "},
		"an endpoint that the guard refuses":    {`{"region":"eu-central-1","endpoint":"https://169.254.169.254","auth":{"method":"static"}}`, ``, "config.endpoint: "},
		"an unknown method":                     {`{"region":"eu-central-1","auth":{"method":"imds"}}`, ``, "config.auth.method: "},
		"static without a key":                  {`{"region":"eu-central-1","auth":{"method":"static"}}`, ``, "credentials.access_key_id: "},
		"static with half a key":                {`{"region":"eu-central-1","auth":{"method":"static"}}`, `{"access_key_id":"a"}`, "credentials.secret_access_key: "},
		"web identity with a key":               {`{"region":"eu-central-1","auth":{"method":"web_identity","role_arn":"` + role + `"}}`, `{"access_key_id":"a"}`, "credentials: not used"},
		"web identity without a role":           {`{"region":"eu-central-1","auth":{"method":"web_identity"}}`, ``, "config.auth.role_arn: "},
		"a token service that is not trusted":   {`{"region":"eu-central-1","auth":{"method":"web_identity","role_arn":"` + role + `"}}`, ``, "config.auth.method: web_identity is allowed only if the operator lists the token service as trusted: https://sts.eu-central-1.amazonaws.com"},
		"the token service of another operator": {`{"region":"eu-central-1","auth":{"method":"web_identity","role_arn":"` + role + `","sts_endpoint":"https://evil.example"}}`, ``, "config.auth.method: "},
		"an unknown field":                      {`{"region":"eu-central-1","profile":"x","auth":{}}`, ``, "config: unknown field"},
	} {
		t.Run(name, func(t *testing.T) {
			r := provider.Record{Name: "aws", Type: aws.SSMName, Config: []byte(tc.config), Credentials: redact.New([]byte(tc.credentials))}
			err := aws.SSM().Validate(r, host(f))
			if e, ok := err.(*provider.Error); !ok || e.Kind != provider.KindInvalid || !strings.HasPrefix(e.Message, tc.want) {
				t.Errorf("error = %v, want %q", err, tc.want)
			}
		})
	}
}
