// SPDX-License-Identifier: Apache-2.0

package aws_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	accessKey = "AKIAEXAMPLE"
	secretKey = "a-secret-access-key"
	webToken  = "the.registrys.token"
	role      = "arn:aws:iam::123456789012:role/lanyard"
	reflected = "a value the server repeats"
	versionID = "aaaaaaaa-0000-4000-8000-000000000001"
)

// fakeAWS is a fake: it speaks as much of the protocols of Secrets Manager, SSM and STS as this package uses. It looks at who signed a request, not at the signature. That AWS does the same is not
// shown by it.
type fakeAWS struct {
	*httptest.Server
	mu       sync.Mutex
	values   map[string]any // :: name, or name@version → string or []byte
	denied   map[string]bool
	sessions map[string]bool // of web identity: access key ids
	logins   int
	fault    http.HandlerFunc
	headers  http.Header // of the last request
}

func serve(t testing.TB) *fakeAWS {
	f := &fakeAWS{values: map[string]any{}, denied: map[string]bool{}, sessions: map[string]bool{}}
	f.Server = httptest.NewTLSServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeAWS) bundle() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw}))
}

func (f *fakeAWS) put(name string, value any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.values[name] = value
}

// fail answers everything with fault until undo.
func (f *fakeAWS) fail(fault http.HandlerFunc) (undo func()) {
	set := func(h http.HandlerFunc) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.fault = h
	}
	set(fault)
	return func() { set(nil) }
}

func (f *fakeAWS) endSessions() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sessions = map[string]bool{}
}

func (f *fakeAWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	fault := f.fault
	f.headers = r.Header.Clone()
	f.mu.Unlock()
	if fault != nil {
		fault(w, r)
		return
	}
	target := r.Header.Get("X-Amz-Target")
	if target == "" {
		f.assumeRole(w, r)
		return
	}
	if code := f.stranger(r); code != "" {
		refuse(w, http.StatusBadRequest, code, "")
		return
	}
	var in struct{ SecretId, VersionId, VersionStage, Name string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, "SerializationException", "")
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch target {
	case "secretsmanager.GetSecretValue":
		f.getSecretValue(w, in.SecretId, in.VersionId+in.VersionStage)
	case "secretsmanager.DescribeSecret":
		refuse(w, http.StatusBadRequest, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	case "AmazonSSM.GetParameter":
		name, selector, _ := strings.Cut(in.Name, ":")
		f.getParameter(w, name, selector)
	case "AmazonSSM.DescribeParameters":
		refuse(w, http.StatusBadRequest, "AccessDeniedException", reflected)
	default:
		refuse(w, http.StatusBadRequest, "UnknownOperationException", "")
	}
}

func (f *fakeAWS) getSecretValue(w http.ResponseWriter, name, version string) {
	value, known := f.values[name]
	if version != "" && known {
		if value, known = f.values[name+"@"+version]; !known {
			refuse(w, http.StatusBadRequest, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for "+version)
			return
		}
	}
	switch {
	case f.denied[name]:
		refuse(w, http.StatusBadRequest, "AccessDeniedException", reflected)
	case !known:
		refuse(w, http.StatusBadRequest, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	default:
		out := map[string]any{"Name": name, "VersionId": versionID, "SecretString": value}
		if binary, ok := value.([]byte); ok {
			out = map[string]any{"Name": name, "SecretBinary": binary}
		}
		_ = json.NewEncoder(w).Encode(out)
	}
}

func (f *fakeAWS) getParameter(w http.ResponseWriter, name, selector string) {
	value, known := f.values[name]
	if selector != "" && known {
		if value, known = f.values[name+"@"+selector]; !known {
			refuse(w, http.StatusBadRequest, "ParameterVersionNotFound", reflected)
			return
		}
	}
	switch {
	case f.denied[name]:
		refuse(w, http.StatusBadRequest, "AccessDeniedException", reflected)
	case !known:
		refuse(w, http.StatusBadRequest, "ParameterNotFound", reflected)
	default:
		_ = json.NewEncoder(w).Encode(map[string]any{"Parameter": map[string]any{"Name": name, "Type": "SecureString", "Value": value, "Version": 1}})
	}
}

// stranger returns the code for a request that nobody known signed.
func (f *fakeAWS) stranger(r *http.Request) string {
	_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	id, scope, _ := strings.Cut(credential, "/")
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !strings.Contains(scope, "/eu-central-1/"):
		return "InvalidSignatureException"
	case id == accessKey, f.sessions[id] && r.Header.Get("X-Amz-Security-Token") == "session of "+id:
		return ""
	case strings.HasPrefix(id, "ASIA"):
		return "ExpiredTokenException"
	default:
		return "UnrecognizedClientException"
	}
}

func (f *fakeAWS) assumeRole(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("Action") != "AssumeRoleWithWebIdentity" || r.FormValue("WebIdentityToken") != webToken || r.FormValue("RoleArn") != role {
		refuseLogin(w, http.StatusForbidden, "AccessDenied")
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logins++
	id := fmt.Sprint("ASIA", f.logins)
	f.sessions[id] = true
	w.Header().Set("Content-Type", "text/xml")
	fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>session of %s</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
		id, id, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": message})
}

func refuseLogin(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>`, code, reflected)
}
