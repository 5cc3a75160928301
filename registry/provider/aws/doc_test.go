// SPDX-License-Identifier: Apache-2.0

package aws_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/registry/provider/aws"
)

func TestEveryFieldOfARecordIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## AWS Secrets Manager and Parameter Store\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, of := range []any{aws.Config{}, aws.Auth{}, aws.Credentials{}} {
		for field := range reflect.TypeOf(of).Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !strings.Contains(section, "`"+name+"`") {
				t.Errorf("docs/providers.md does not name the field %s of %T", name, of)
			}
		}
	}
}
