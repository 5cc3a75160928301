// SPDX-License-Identifier: Apache-2.0

package vault_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/vault"
	"github.com/lanyard-dev/lanyard/registry/provider/vault/vaulttest"
)

func contains(err error, text string) bool {
	return strings.Contains(fmt.Sprintf("%v %+v", err, err), text)
}

func TestPathsOfVaultItselfAreRefused(t *testing.T) {
	// GET auth/token/lookup-self would answer with the registry's own token in data.id.
	for _, path := range []string{"auth/token/lookup-self", "sys/mounts", "sys", "identity/entity/id/x", "cubbyhole/x", "kv/../auth/token/lookup-self", "", "/kv/x"} {
		if ref, err := vault.Type().Path(path, ""); err == nil {
			t.Errorf("%q became %v", path, ref)
		}
	}
	for _, version := range []string{"0", "-1", "01", "1.0", "latest", "99999999999", "1&x=y"} {
		if _, err := vault.Type().Path("kv/x", version); err == nil {
			t.Errorf("version %q was accepted", version)
		}
	}
	// With a namespace in the path, or a mount reported to be something else, it must not slip through either.
	for name, info := range map[string]string{
		"a method in another namespace": `{"data":{"path":"ns1/auth/token/","type":"token"}}`,
		"of a type nobody knows":        `{"data":{"path":"ns1/auth/custom/","type":"custom"}}`,
		"a method of this namespace":    `{"data":{"path":"token/","type":"custom"}}`,
		"a system mount":                `{"data":{"path":"ns1/sys/","type":"system"}}`,
		"no path":                       `{"data":{"type":"kv"}}`,
	} {
		s := vaulttest.New(t)
		s.Change(func(st *vaulttest.State) {
			st.Fault = func(w http.ResponseWriter, r *http.Request) bool {
				if strings.Contains(r.URL.Path, "/internal/ui/mounts/") {
					fmt.Fprint(w, info)
					return true
				}
				return false
			}
		})
		if _, err := read(t, open(t, record(t, s, nil)), "ns1/auth/token/lookup-self"); err == nil || err.Reason != provider.ReasonReference {
			t.Errorf("%s: error = %v", name, err)
		}
		if n := count(s, func(st *vaulttest.State) int { return st.Reads }); n != 0 {
			t.Errorf("%s: it was read", name)
		}
	}
}

func TestPrefixesMeanTheSameInBothForms(t *testing.T) {
	s := vaulttest.New(t)
	for _, path := range []string{"kv/prod/x", "kv/production", "kv/x", "kv/data/x", "kv1/data/x", "kv1/x"} {
		s.Put(path, `{"a":"1"}`)
	}
	for name, tc := range map[string]struct {
		prefix, path string
		want         bool
	}{
		"both plain":                                 {"kv/prod", "kv/prod/x", true},
		"the path with data":                         {"kv/prod", "kv/data/prod/x", true},
		"the prefix with data":                       {"kv/data/prod", "kv/prod/x", true},
		"both with data":                             {"kv/data/prod/", "kv/data/prod/x", true},
		"a longer name":                              {"kv/prod", "kv/data/production", false},
		"a longer name, the prefix with data":        {"kv/data/prod", "kv/production", false},
		"data alone is the whole mount":              {"kv/data", "kv/x", true},
		"a mount":                                    {"kv", "kv/data/x", true},
		"another mount":                              {"kv1", "kv/x", false},
		"in version 1 data is a name like others":    {"kv1/data", "kv1/data/x", true},
		"in version 1 data is not left out":          {"kv1/data", "kv1/x", false},
		"in version 1 data is not left out of paths": {"kv1/x", "kv1/data/x", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := record(t, s, nil)
			r.AllowedPrefixes = []string{tc.prefix}
			_, err := read(t, open(t, r), tc.path)
			if tc.want && err != nil || !tc.want && (err == nil || err.Reason != provider.ReasonPrefix) {
				t.Errorf("error = %v, want allowed %v", err, tc.want)
			}
		})
	}
	// What no engine could make allowed is refused without a word to the server.
	silent := vaulttest.New(t)
	r := record(t, silent, nil)
	r.AllowedPrefixes = []string{"kv/prod"}
	if _, err := read(t, open(t, r), "other/x"); err == nil || err.Reason != provider.ReasonPrefix || count(silent, logins) != 0 {
		t.Errorf("error = %v after %d logins", err, count(silent, logins))
	}
}

func TestVersionsArePinned(t *testing.T) {
	s := vaulttest.New(t)
	s.Put("kv/x", `{"a":"one"}`)
	s.Put("kv/x", `{"a":"two"}`)
	s.Change(func(st *vaulttest.State) { st.Secrets["kv/deleted"] = append(st.Secrets["kv/deleted"], nil) })
	v := open(t, record(t, s, nil))
	for version, want := range map[string]string{"": "two", "1": "one", "2": "two"} {
		doc, err := v.Read(t.Context(), provider.Ref{Path: "kv/x", Version: version})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := doc.Value("a"); err != nil || string(got.Reveal()) != want {
			t.Errorf("version %q: %q, %v", version, got.Reveal(), err)
		}
	}
	for name, tc := range map[string]struct {
		ref    provider.Ref
		reason provider.Reason
	}{
		"a version that is not there":          {provider.Ref{Path: "kv/x", Version: "3"}, provider.ReasonPath},
		"a deleted one":                        {provider.Ref{Path: "kv/deleted"}, provider.ReasonVersion},
		"a version in KV version 1":            {provider.Ref{Path: "kv1/x", Version: "1"}, provider.ReasonReference},
		"a version of a dynamic engine":        {provider.Ref{Path: "database/creds/x", Version: "1"}, provider.ReasonReference},
		"a mount":                              {provider.Ref{Path: "kv"}, provider.ReasonReference},
		"a mount with data":                    {provider.Ref{Path: "kv/data"}, provider.ReasonReference},
		"no mount, or none we may know of":     {provider.Ref{Path: "nowhere/x"}, provider.ReasonPermission},
		"metadata, which is a name like other": {provider.Ref{Path: "kv/metadata/x"}, provider.ReasonPath},
	} {
		_, err := v.Read(t.Context(), tc.ref)
		if err == nil || asError(t, err).Reason != tc.reason {
			t.Errorf("%s: error = %v, want %s", name, err, tc.reason)
		}
	}
}

func TestDeclaredMountsAreNotAskedAbout(t *testing.T) {
	s := vaulttest.New(t)
	s.Put("kv/x", `{"a":"1"}`)
	s.Put("kv1/x", `{"a":"2"}`)
	s.Change(func(st *vaulttest.State) {
		st.Fault = func(w http.ResponseWriter, r *http.Request) bool {
			asked := strings.Contains(r.URL.Path, "/internal/ui/mounts/")
			if asked {
				w.WriteHeader(http.StatusForbidden)
			}
			return asked
		}
	})
	v := open(t, record(t, s, func(c *vault.Config, _ *vault.Credentials) {
		c.Mounts = []vault.Mount{{Path: "kv/", Engine: vault.EngineKV2}, {Path: "kv1", Engine: vault.EngineKV1}}
	}))
	for path, want := range map[string]string{"kv/x": "1", "kv/data/x": "1", "kv1/x": "2"} {
		if got, err := read(t, v, path); err != nil || got != want {
			t.Errorf("%s = %q, %v", path, got, err)
		}
	}
}
