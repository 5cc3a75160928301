// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

func TestFilesHaveTheModeThePodWants(t *testing.T) {
	for _, tc := range []struct {
		text string
		want fs.FileMode
	}{{"", 0o444}, {"0444", 0o444}, {"0440", 0o440}, {"0400", 0o400}} {
		env := validEnv()
		env[podspec.EnvFilesMode] = tc.text
		parsed, err := ConfigFromEnv(func(name string) string { return env[name] })
		if err != nil {
			t.Fatal(err)
		}
		files := container("app", "A")
		files.Delivery = wire.DeliveryFile
		c := newConfig(t, registry(t, containerValues("app", "A", canary)), files)
		c.FilesMode = parsed.FilesMode
		if err := Run(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(filepath.Join(c.ValuesDir, "app", "A")); err != nil || info.Mode() != tc.want {
			t.Errorf("with %q the mode is %v, %v", tc.text, info.Mode(), err)
		}
	}
	for _, text := range []string{"0644", "444", "0777", "r--r--r--"} {
		env := validEnv()
		env[podspec.EnvFilesMode] = text
		if _, err := ConfigFromEnv(func(name string) string { return env[name] }); err == nil {
			t.Errorf("the mode %q was accepted", text)
		}
	}
}
