// SPDX-License-Identifier: Apache-2.0

package vault_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/registry/provider/vault"
)

func TestEveryFieldOfARecordIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []any{vault.Config{}, vault.Auth{}, vault.Mount{}, vault.Credentials{}} {
		for field := range reflect.TypeOf(of).Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !strings.Contains(string(page), "`"+name+"`") {
				t.Errorf("docs/providers.md does not name the field %s of %T", name, of)
			}
		}
	}
}
