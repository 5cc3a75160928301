// SPDX-License-Identifier: Apache-2.0

package deptest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/lanyard-dev/lanyard/"

// A rule holds for every package of ours below from.
type rule struct {
	from string
	// never may not be reached, directly or through others. A trailing slash means everything below.
	never []string
	// only, if set, are the packages of ours that may be reached (besides from itself); stdlib adds that nothing but the standard library may be.
	only   []string
	stdlib bool
	// imports are forbidden as direct imports only: the package does not use them itself.
	imports []string
	// noClock forbids everything of package time that looks at a clock; durations are welcome.
	noClock bool
	why     string
}

var rules = []rule{
	{
		from: "pkg/", only: []string{"pkg/"},
		why: "the contract is imported by everybody, so it imports nobody",
	},
	{
		from: "agent/", stdlib: true, only: []string{"pkg/envfile", "pkg/execfile", "pkg/podspec", "pkg/redact", "pkg/ref", "pkg/wire"},
		why: "the init agent runs in other people's pods at every start: it must stay small, fast and free of other people's advisories",
	},
	{
		from: "cmd/lanyard-agent", stdlib: true, only: []string{"agent/", "pkg/envfile", "pkg/execfile", "pkg/podspec", "pkg/redact", "pkg/ref", "pkg/wire"},
		why: "as agent/",
	},
	{
		from: "registry/", never: []string{module + "injector/", module + "agent/", module + "cmd/"},
		why: "the components speak to each other over HTTP only, so that each can be upgraded alone",
	},
	{
		from: "injector/", never: []string{module + "registry/", module + "agent/", module + "cmd/"},
		why: "as registry/; and what can read a secret must not be linked into the webhook",
	},
	{
		from: "injector/", never: []string{"go.etcd.io/", "github.com/gin-gonic/", "github.com/hashicorp/", "github.com/aws/"},
		why: "the injector holds no power: it knows neither the store nor a provider",
	},
	{
		from: "cli/", only: []string{"pkg/", "internal/bundle", "internal/kubelet", "internal/version", "injector/mutate"}, never: []string{"go.etcd.io/", "github.com/gin-gonic/", "k8s.io/client-go/kubernetes", "k8s.io/client-go/rest"},
		why: "the CLI is a client like any other: it knows the API's document, not the registry, and asks Kubernetes for nothing but by the person's kubectl; of nodes it must say what injector and registry say. What it takes of the injector is mutate, which does no I/O, " +
			"so that inject --dry-run answers with the very code that answers the API server, and not with a copy or a description of it",
	},
	{
		from: "internal/", never: []string{module + "registry/", module + "injector/", module + "agent/", module + "cli/", module + "cmd/"},
		why: "shared plumbing lies below the components",
	},
	{
		from: "injector/mutate", imports: []string{"net", "net/http", "os", "io/fs", "math/rand", "math/rand/v2", "crypto/rand", "log/slog"}, noClock: true,
		why: "admission must be a function of the pod and the names: what it decides can be replayed from a golden file",
	},
	{
		from: "injector/nodes", only: []string{"internal/kubelet"}, never: []string{"k8s.io/client-go/"},
		why: "two methods of the API server are asked for, and a cache would keep every node whole",
	},
	{
		from: "injector/images", only: []string{"internal/egress"}, never: []string{"k8s.io/client-go/", "github.com/google/go-containerregistry/", "net/http/httptest", "testing"},
		why: "what asks strangers knows neither plans nor the API server: it is given names, and one method that reads a Secret",
	},
	{
		from: "internal/events", never: []string{"k8s.io/client-go/kubernetes", "k8s.io/client-go/tools/events", "k8s.io/client-go/tools/record", module + "pkg/redact"},
		why: "an Event is two requests of the API server, with a queue and a rate of our own; and nothing that could hold a value comes near it",
	},
	{
		from: "internal/kubelet", stdlib: true,
		why: "injector and registry must judge a node alike, so what judges it is nothing but its versions",
	},
	{
		from: "registry/authz", imports: []string{"net", "net/http", "os", "time", "context", "log/slog"},
		why: "who may do what is a table, not a procedure",
	},
	{
		from: "registry/envelope", never: []string{"net/http", module + "registry/store"}, imports: []string{"net"}, noClock: true,
		why: "encryption reads no clock and knows no store",
	},
	{
		from: "registry/provider/aws", never: []string{"github.com/aws/aws-sdk-go-v2/config", "github.com/aws/aws-sdk-go-v2/credentials", "github.com/aws/aws-sdk-go-v2/feature/", "net/http/httptest", "testing"},
		why: "what the SDK's configuration loader finds (environment, files, the node's metadata service) are the operator's credentials, not an organization's",
	},
	{
		from: "registry/provider", never: []string{"github.com/hashicorp/", "github.com/aws/", "github.com/Azure/", "net/http/httptest"}, imports: []string{"net/http"},
		why: "what all providers share knows none of them: an SDK stays within the package of its provider",
	},
	{
		from: "internal/egress", only: []string{"internal/egress"}, stdlib: true,
		why: "what decides where the registry and the injector may connect must be readable to its end",
	},
	{
		from: "registry/provider/vault", never: []string{"net/http/httptest", "testing", module + "registry/provider/vault/vaulttest"},
		why: "the fake is for tests",
	},
	{
		from: "registry/api", never: []string{module + "registry/provider", module + "registry/remote"},
		why: "handlers learn from a Checker whether a provider works; what can fetch a value or hold credentials is out of their reach",
	},
	{
		from: "registry/resolve", never: []string{module + "registry/provider", module + "registry/remote"},
		why: "the resolver knows a Fetcher, not whom it asks",
	},
	{
		from: "registry/provider/azure", never: []string{"github.com/Azure/azure-sdk-for-go/sdk/azidentity/", "net/http/httptest", "testing", module + "registry/provider/azure/azuretest"},
		why: "credentials come from the record alone, never from the environment, a metadata service or a command line; and the fake is for tests",
	},
	{
		from: "registry/provider/gcp", never: []string{"cloud.google.com/", "golang.org/x/oauth2/", "google.golang.org/api/", "net/http/httptest", "testing", module + "registry/provider/gcp/gcptest"},
		why: "as registry/provider/azure; three requests need no client of Google's",
	},
	{
		from: "registry/provider/kubernetes", never: []string{"net/http/httptest", "testing", "k8s.io/client-go/"},
		why: "one GET needs no client library, and an informer would be a cache of everybody's Secrets",
	},
	{
		from: "registry/provider/rest", never: []string{"github.com/hashicorp/", "github.com/aws/", "net/http/httptest", "testing"},
		why: "what providers that speak HTTP share knows none of them",
	},
	{
		from: "cmd/", never: []string{"github.com/zitadel/", "github.com/muhlemmer/"},
		why: "the OpenID provider of the tests is for tests",
	},
	{
		from: "registry/authn/oidc", never: []string{"net/http/httptest", "testing", module + "registry/store", module + "registry/authn/oidc/oidctest"},
		why: "who somebody is at a provider is found out without knowing what they may do here",
	},
	{
		from: "registry/signin", never: []string{"net/http/httptest", "testing", module + "registry/resolve", module + "registry/provider"},
		why: "pages that anybody can visit reach nothing that knows a value",
	},
	{
		from: "registry/authn/claimrule", stdlib: true, imports: []string{"net", "net/http", "os", "context"}, noClock: true,
		why: "whom a federation trusts is a function of its claims and the token's",
	},
	{
		from: "registry/authn/idtoken", stdlib: true, only: []string{"registry/authn/idtoken"}, imports: []string{"net", "net/http", "os"},
		why: "what stands in a token is told without asking anybody",
	},
	{
		from: "registry/authn/issuer", never: []string{"net/http/httptest", "testing", module + "registry/store", module + "registry/authn/oidc/oidctest"},
		why: "who signed a token is found out without knowing what it is good for",
	},
	{
		from: "registry/ratelimit", never: []string{module + "registry/store", "net/http/httptest", "testing"}, imports: []string{"net/http"},
		why: "a budget is counted without knowing what it is spent on",
	},
	{
		from: "registry/lease", never: []string{module + "registry/provider", module + "registry/remote", module + "registry/resolve", module + "registry/authn", "go.etcd.io/etcd/server/"}, imports: []string{"net/http"},
		why: "when a lease is renewed or revoked must be testable without a server, a cluster or etcd: it knows three small interfaces",
	},
	{
		from: "registry/store", never: []string{"net/http/httptest", module + "registry/api", module + "registry/resolve"}, imports: []string{"github.com/gin-gonic/gin", "net/http"},
		why: "the store does not know who asks it",
	},
}

type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Standard   bool
	Imports    []string
	Deps       []string
}

func TestArrowsPointOneWay(t *testing.T) {
	packages := list(t, "./...")
	standard := map[string]bool{}
	for _, p := range list(t, "std") {
		standard[p.ImportPath] = true
	}
	checked := map[string]int{}
	for _, p := range packages {
		ours, isOurs := strings.CutPrefix(p.ImportPath, module)
		if !isOurs {
			continue
		}
		for _, r := range rules {
			if !below(ours, r.from) {
				continue
			}
			checked[r.from]++
			for _, problem := range violations(p, r, standard) {
				t.Errorf("%s %s\n\tbecause %s", ours, problem, r.why)
			}
		}
	}
	for _, r := range rules {
		if checked[r.from] == 0 {
			t.Errorf("no package is below %s: the rule protects nothing", r.from)
		}
	}
}

func violations(p listed, r rule, standard map[string]bool) (problems []string) {
	for _, dep := range p.Deps {
		if dep == p.ImportPath {
			continue
		}
		if dependsOn(dep, r.never) {
			problems = append(problems, "reaches "+dep)
		}
		ours, isOurs := strings.CutPrefix(dep, module)
		if isOurs && r.only != nil && !below(ours, r.from) && !slices.ContainsFunc(r.only, func(o string) bool { return below(ours, o) }) {
			problems = append(problems, "reaches "+dep)
		}
		if r.stdlib && !isOurs && !standard[dep] && !strings.HasPrefix(dep, "vendor/") {
			problems = append(problems, "reaches "+dep+", which is not the standard library")
		}
	}
	for _, imported := range p.Imports {
		if slices.Contains(r.imports, imported) {
			problems = append(problems, "imports "+imported)
		}
	}
	if r.noClock {
		problems = append(problems, clocks(p)...)
	}
	return problems
}

// clocks finds uses of time.Now and its like.
func clocks(p listed) (problems []string) {
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, 0)
		if err != nil {
			return []string{"does not parse: " + err.Error()}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := selector.X.(*ast.Ident)
			if ok && pkg.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}, selector.Sel.Name) {
				problems = append(problems, "uses time."+selector.Sel.Name+" in "+name)
			}
			return true
		})
	}
	return problems
}

func dependsOn(dep string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return below(dep, pattern) })
}

// below reports whether path is pattern or, for a pattern with a trailing slash, the package of that name or one under it.
func below(path, pattern string) bool {
	if dir, ok := strings.CutSuffix(pattern, "/"); ok {
		return path == dir || strings.HasPrefix(path, pattern)
	}
	return path == pattern
}

func list(t *testing.T, pattern string) (packages []listed) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,GoFiles,Standard,Imports,Deps", pattern)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("listing %s: %s", pattern, exit.Stderr)
	} else if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(out))
	for {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(fmt.Errorf("reading the list of %s: %w", pattern, err))
		}
		packages = append(packages, p)
	}
}
