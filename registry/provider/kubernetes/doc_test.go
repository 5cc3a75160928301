// SPDX-License-Identifier: Apache-2.0

package kubernetes_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/registry/provider/kubernetes"
)

func TestEveryFieldOfARecordIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Kubernetes Secrets\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, of := range []any{kubernetes.Config{}, kubernetes.Credentials{}} {
		for field := range reflect.TypeOf(of).Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !strings.Contains(section, "`"+name+"`") {
				t.Errorf("docs/providers.md does not name the field %s of %T", name, of)
			}
		}
	}
}
