// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// runWithFiles runs the init agent for container app with the file delivery and ENVs A and B, told that much of the files, and returns their directory.
func runWithFiles(t *testing.T, mode, bundles string, values ...string) (string, error) {
	t.Helper()
	env := validEnv()
	env[podspec.EnvFilesMode], env[podspec.EnvFilesBundle] = mode, bundles
	parsed, err := ConfigFromEnv(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	files := container("app", "A", "B")
	files.Delivery = wire.DeliveryFile
	c := newConfig(t, registry(t, containerValues("app", values...)), files)
	c.FilesMode, c.Bundles = parsed.FilesMode, parsed.Bundles
	return filepath.Join(c.ValuesDir, "app"), Run(t.Context(), c)
}

func TestFilesHaveTheModesThePodWants(t *testing.T) {
	for text, want := range map[string]map[string]fs.FileMode{
		"":                              {"A": 0o444, "B": 0o444, "secrets.json": 0o444},
		"0444":                          {"A": 0o444},
		"0440":                          {"A": 0o440, "B": 0o440, "secrets.json": 0o440},
		"0400":                          {"A": 0o400},
		"0440,B=0400,secrets.json=0444": {"A": 0o440, "B": 0o400, "secrets.json": 0o444},
		"B=0400":                        {"A": 0o444, "B": 0o400},
	} {
		dir, err := runWithFiles(t, text, "json", "A", canary, "B", canary)
		if err != nil {
			t.Fatal(err)
		}
		for name, mode := range want {
			if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != mode {
				t.Errorf("with %q the mode of %s is %v, %v", text, name, info.Mode(), err)
			}
		}
	}
}

func TestWhatIsSaidOfFilesMustBeKnown(t *testing.T) {
	for name, values := range map[string][]string{
		podspec.EnvFilesMode:   {"0644", "444", "0777", "r--r--r--", "0440,0400", "A=0400,A=0440", "=0400", "A=", ","},
		podspec.EnvFilesBundle: {"yaml", "json,json", ",", "JSON"},
	} {
		for _, value := range values {
			env := validEnv()
			env[name] = value
			if _, err := ConfigFromEnv(func(name string) string { return env[name] }); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s=%q: %v", name, value, err)
			}
		}
	}
}

func TestBundlesHoldAllValuesOfAContainer(t *testing.T) {
	dir, err := runWithFiles(t, "", "json,dotenv,properties", "A", "a \"quoted\"", "B", "ü = b")
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]string
	text, err := os.ReadFile(filepath.Join(dir, "secrets.json"))
	if err := errors.Join(err, json.Unmarshal(text, &values)); err != nil || len(values) != 2 || values["A"] != "a \"quoted\"" || values["B"] != "ü = b" {
		t.Errorf("the JSON is %s, %v", text, err)
	}
	for name, want := range map[string]string{
		"secrets.env": "A='a \"quoted\"'\nB='ü = b'\n", "secrets.properties": "A=a \"quoted\"\nB=\\u00fc = b\n", "A": "a \"quoted\"",
	} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestAValueThatABundleCannotCarryIsRefused(t *testing.T) {
	dir, err := runWithFiles(t, "", "json,dotenv", "A", "fine", "B", canary+"'\xff")
	var failure *Failure
	if !errors.As(err, &failure) || failure.Exit != ExitUnrepresentable || len(failure.Items) != 2 || failure.Items[0].Env != "B" || failure.Items[1].Env != "B" {
		t.Fatalf("got %v", err)
	}
	for _, item := range failure.Items {
		if strings.Contains(item.Message, canary) {
			t.Error("the message holds the value")
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}
