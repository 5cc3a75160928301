// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

func container(name string, envs ...string) wire.ContainerRequest {
	return wire.ContainerRequest{Name: name, Consumer: "acme/web", Delivery: wire.DeliveryEnvfile, Envs: envs}
}

// inline is a container that has no consumer.
func inline(name, secret string) wire.ContainerRequest {
	return wire.ContainerRequest{Name: "app", Delivery: wire.DeliveryEnvfile, Inline: []wire.InlineEnv{{Name: name, Secret: secret}}}
}

func requestJSON(containers ...wire.ContainerRequest) string {
	text, err := json.Marshal(wire.ResolveRequest{Protocol: wire.Protocol, Containers: containers})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// testCA is some valid certificate.
var testCA = func() string {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}()

// validEnv has only what is required.
func validEnv() map[string]string {
	return map[string]string{
		podspec.EnvURL:     "https://lanyard.lanyard.svc.:8443",
		podspec.EnvCA:      testCA,
		podspec.EnvRequest: requestJSON(container("app", "A", "B")),
	}
}

func TestConfigHasTheDocumentedDefaults(t *testing.T) {
	env := validEnv()
	c, err := ConfigFromEnv(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	if c.URL != "https://lanyard.lanyard.svc.:8443" || c.ServerName != "lanyard.lanyard.svc" {
		t.Errorf("URL %q, server name %q", c.URL, c.ServerName)
	}
	if c.BinDir != "/run/lanyard/bin" || c.ValuesDir != "/run/lanyard/values" {
		t.Errorf("defaults: %q, %q", c.BinDir, c.ValuesDir)
	}
	if c.TokenFile != "/run/lanyard/token/token" || c.Dir != "/run/lanyard/env" || c.TerminationLog != "/dev/termination-log" || c.Deadline != 2*time.Minute {
		t.Errorf("defaults: %q, %q, %q, %v", c.TokenFile, c.Dir, c.TerminationLog, c.Deadline)
	}
	if len(c.Request.Containers) != 1 || !slices.Equal(c.Request.Containers[0].Envs, []string{"A", "B"}) {
		t.Errorf("request: %+v", c.Request)
	}
}

func TestConfigNamesTheVariableAndTheFix(t *testing.T) {
	many := make([]string, wire.MaxEnvs+1)
	for i := range many {
		many[i] = fmt.Sprintf("E%d", i)
	}
	unknown, unnamed, unowned := container("app", "A"), container("", "A"), container("app", "A")
	unknown.Delivery, unowned.Consumer = "auto", "web"
	twice := inline("A", "lanyard://acme/a")
	twice.Consumer, twice.Envs = "acme/web", []string{"A"}
	for name, tc := range map[string]struct{ variable, value, want string }{
		"no URL":                      {podspec.EnvURL, "", "is empty: set it"},
		"not https":                   {podspec.EnvURL, "http://registry:8080", "only sent over TLS"},
		"no URL at all":               {podspec.EnvURL, "https://a b:x", "write it as https://host:port"},
		"no host":                     {podspec.EnvURL, "https://:443", "has no host"},
		"a path":                      {podspec.EnvURL, "https://registry/v1", "remove the rest"},
		"a query":                     {podspec.EnvURL, "https://registry?x=1", "remove the rest"},
		"a password":                  {podspec.EnvURL, "https://u:hunter2@registry", "remove it"},
		"a server name with a port":   {podspec.EnvServerName, "registry:8443", "without scheme and port"},
		"no CA":                       {podspec.EnvCA, "", "holds no certificate"},
		"a CA that is a path":         {podspec.EnvCA, "/etc/ca.crt", "holds no certificate"},
		"a key instead of a CA":       {podspec.EnvCA, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "nothing but certificates"},
		"a broken certificate":        {podspec.EnvCA, testCA + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "number 2 of the bundle"},
		"a bundle cut off":            {podspec.EnvCA, testCA + testCA[:200], "may be cut off"},
		"no request":                  {podspec.EnvRequest, "", "is empty: the injector writes it"},
		"no JSON":                     {podspec.EnvRequest, "app: A", "is not the JSON"},
		"two documents":               {podspec.EnvRequest, validEnv()[podspec.EnvRequest] + "{}", "is not the JSON"},
		"a newer protocol":            {podspec.EnvRequest, `{"protocol":3}`, "speaks 1 to 2"},
		"no protocol":                 {podspec.EnvRequest, `{}`, "speaks 1 to 2"},
		"inline in an old protocol":   {podspec.EnvRequest, `{"protocol":1,"containers":[{"name":"app","delivery":"file","inline":[{"name":"A","secret":"lanyard://acme/a"}]}]}`, "which need 2"},
		"an inline path":              {podspec.EnvRequest, requestJSON(inline("A", "lanyard://acme/../a")), "secret reference"},
		"an inline reserved ENV":      {podspec.EnvRequest, requestJSON(inline("LD_PRELOAD", "lanyard://acme/a")), "dynamic loader"},
		"an inline ENV twice":         {podspec.EnvRequest, requestJSON(twice), "ENV A of container \"app\" twice"},
		"no containers":               {podspec.EnvRequest, requestJSON(), "names 0 containers"},
		"too many containers":         {podspec.EnvRequest, requestJSON(slices.Repeat([]wire.ContainerRequest{container("a")}, wire.MaxContainers+1)...), "names 65 containers"},
		"a container twice":           {podspec.EnvRequest, requestJSON(container("app", "A"), container("app", "B")), `"app" twice`},
		"a container without name":    {podspec.EnvRequest, requestJSON(unnamed), "DNS label"},
		"a container that is a path":  {podspec.EnvRequest, requestJSON(container("../app", "A")), "DNS label"},
		"a consumer without an owner": {podspec.EnvRequest, requestJSON(unowned), "<organization>/<consumer>"},
		"another delivery":            {podspec.EnvRequest, requestJSON(unknown), "does not know"},
		"an ENV twice":                {podspec.EnvRequest, requestJSON(container("app", "A", "A")), "ENV A of container \"app\" twice"},
		"an ENV that is none":         {podspec.EnvRequest, requestJSON(container("app", "A B")), `"A B"`},
		"a reserved ENV":              {podspec.EnvRequest, requestJSON(container("app", "LD_PRELOAD")), "dynamic loader"},
		"too many ENVs":               {podspec.EnvRequest, requestJSON(container("a", many[:200]...), container("b", many[:57]...)), "names 257 ENVs"},
		"a request too long":          {podspec.EnvRequest, strings.Repeat(" ", wire.MaxNamesBytes+1), "fewer ENVs"},
		"a deadline without unit":     {podspec.EnvDeadline, "90", "write it like 90s"},
		"no time":                     {podspec.EnvDeadline, "0s", "more than zero"},
		"a deadline too long":         {podspec.EnvDeadline, "11m", "at most 10m"},
		"a relative token file":       {podspec.EnvTokenFile, "token", "begin it with a slash"},
		"a relative directory":        {podspec.EnvDir, "env", "begin it with a slash"},
		"a relative binary directory": {podspec.EnvBinDir, "bin", "begin it with a slash"},
		"a relative values directory": {podspec.EnvValuesDir, "values", "begin it with a slash"},
		"a relative termination log":  {podspec.EnvTerminationLog, "log", "begin it with a slash"},
	} {
		t.Run(name, func(t *testing.T) {
			env := validEnv()
			env[tc.variable] = tc.value
			_, err := ConfigFromEnv(func(name string) string { return env[name] })
			var failure *Failure
			if !errors.As(err, &failure) || failure.Exit != ExitConfiguration {
				t.Fatalf("error = %v, want a Failure with exit code 13", err)
			}
			if text := err.Error(); !strings.HasPrefix(text, tc.variable+" ") || !strings.Contains(text, tc.want) || strings.Contains(text, "hunter2") {
				t.Errorf("error = %v, want one that begins with %s and says %q", err, tc.variable, tc.want)
			}
		})
	}
}

func TestConfigNamesEveryVariableThatIsWrong(t *testing.T) {
	_, err := ConfigFromEnv(func(string) string { return "" })
	for _, name := range []string{podspec.EnvURL, podspec.EnvCA, podspec.EnvRequest} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error = %v, want it to name %s", err, name)
		}
	}
}

func TestArgumentsAreRefused(t *testing.T) {
	if err := CheckArguments(nil); err != nil {
		t.Error(err)
	}
	if err := CheckArguments([]string{"--deadline=1m"}); err == nil || !strings.Contains(err.Error(), "ENV variables") {
		t.Errorf("error = %v", err)
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add(requestJSON(container("app", "A")))
	f.Add(`{"protocol":1,"containers":[{"name":"../x"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		req, err := parseRequest(text)
		if err != nil {
			return
		}
		for _, c := range req.Containers {
			if strings.ContainsAny(podspec.EnvFile(c.Name), "/\x00\n") {
				t.Errorf("accepted container %q", c.Name)
			}
		}
	})
}
