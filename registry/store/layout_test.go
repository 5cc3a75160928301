// SPDX-License-Identifier: Apache-2.0

package store

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"slices"
	"strings"
	"testing"
)

// Every kind of key that carries an organization's id is here, so that a deletion of the organization that forgets one fails this test.
func TestADeletionKnowsEveryKeyThatCarriesAnOrganization(t *testing.T) {
	const org = "0197a2b3-0000-7000-8000-000000000001"
	k := keyspace(DefaultPrefix)
	pod := podKey{org, "main", "billing", "api-1", "uid"}
	examples := map[string][]string{ // :: method of keyspace → keys or prefixes it makes
		"org": {k.org(org) + "/"}, "under": {k.under(org, "anything")},
		"secret": {k.secret(org, "i")}, "secretName": {k.secretName(org, "n")}, "consumer": {k.consumer(org, "i")}, "consumerName": {k.consumerName(org, "n")},
		"provider": {k.provider(org, "i")}, "providerName": {k.providerName(org, "n")}, "version": {k.version(org, "i", 1)},
		"member": {k.member(org, "user:x")}, "apiToken": {k.apiToken(org, "n")}, "invitation": {k.invitation(org, "i")},
		"federation": {k.federation(org, "n")}, "federated": {k.federated(org, "i")},
		"activity": {k.activity(org)}, "tokenUses": {k.tokenUses(org)}, "tokenUse": {k.tokenUse(org, "i")}, "reminders": {k.reminders(org)}, "reminder": {k.reminder(org, "i")},
		"grants": {k.grants(org)}, "grantsOf": {k.grantsOf(pod)}, "grant": {k.grant(pod, "c")},
		"lastGoods": {k.lastGoods(org)}, "lastGoodOf": {k.lastGoodOf(org, "p")}, "lastGood": {k.lastGood(org, "p", "s")},
	}
	// These are not removed as keys: leases are ended one by one, the tombstone goes last.
	apart := []string{"leasesOf", "lease", "deletion", "contentRanges"}
	for _, method := range orgMethods(t) {
		keys, known := examples[method]
		if !known && !slices.Contains(apart, method) {
			t.Errorf("keyspace.%s makes keys of an organization that deletion.go may not know: see contentRanges, then add an example here", method)
		}
		for _, key := range keys {
			if !slices.ContainsFunc(k.contentRanges(org), func(r keyRange) bool { return r.from <= key && key < r.to }) {
				t.Errorf("a deletion of the organization leaves %s", key)
			}
		}
	}
	for _, r := range k.contentRanges(org) {
		if !strings.Contains(r.from, org) || !strings.HasPrefix(r.to, r.from[:strings.Index(r.from, org)+len(org)]) {
			t.Errorf("the range from %s to %s has keys of others", r.from, r.to)
		}
	}
}

// orgMethods are the methods of keyspace that take an organization's id or a pod's key, whose first part it is.
func orgMethods(t *testing.T) []string {
	t.Helper()
	var names []string
	fset := gotoken.NewFileSet()
	for _, path := range []string{"keys.go", "deletion.go"} {
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv == nil {
				continue
			}
			if receiver, ok := f.Recv.List[0].Type.(*ast.Ident); !ok || receiver.Name != "keyspace" {
				continue
			}
			for _, p := range f.Type.Params.List {
				kind, _ := p.Type.(*ast.Ident)
				if f.Name.Name == "org" || kind != nil && kind.Name == "podKey" || slices.ContainsFunc(p.Names, func(n *ast.Ident) bool { return n.Name == "org" }) {
					names = append(names, f.Name.Name)
					break
				}
			}
		}
	}
	if len(names) < 20 {
		t.Fatalf("only %v take an organization", names)
	}
	return names
}
