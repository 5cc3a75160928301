// SPDX-License-Identifier: Apache-2.0

// Package envfile compares what we write into env files with what the kubelet's own parser reads out of them. It is a module of its own because that parser
// is part of k8s.io/kubernetes.
package envfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/kubernetes/pkg/kubelet/util/env"

	"github.com/lanyard-dev/lanyard/pkg/envfile"
)

// read is what the kubelet would set: the value of name, whether it found one, and whether it could read the file at all.
func read(t *testing.T, file []byte, name string) (string, bool, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.env")
	if err := os.WriteFile(path, file, 0o400); err != nil {
		t.Fatal(err)
	}
	value, err := env.ParseEnv(path, name)
	return value, value != "", err
}

var samples = []string{
	"", "plain", " leading and trailing ", "$HOME ${X} $(Y)", `"double"`, `back\slash\n`, "# hash", "a=b=c", "it's", "''", "\n", "\n\n", "a\n", "\na", "a\nb='c'\n",
	"crlf\r\nline", "cr\rline", "ends with cr\r", "nul\x00", "\xff\xfe", "grüße 世界", "tab\t", "\ufeffbom", "export A='b'", "-----BEGIN X-----\nabc\n-----END X-----\n",
	strings.Repeat("x", envfile.MaxLine-len("FIRST=''")), strings.Repeat("x", envfile.MaxLine-len("FIRST=''")+1), strings.Repeat("x", 70000),
	strings.Repeat("x", envfile.MaxLine) + "\ny", strings.Repeat("y\n", 30000), "a\n" + strings.Repeat("z", envfile.MaxLine-1),
	"a\n" + strings.Repeat("z", envfile.MaxLine),
}

// check writes two variables and expects the kubelet to read both unchanged, whenever Append accepted them.
func check(t *testing.T, first, second string) {
	t.Helper()
	file, err := envfile.Append(nil, "FIRST", []byte(first))
	if err != nil {
		file, first = nil, ""
	}
	file, err = envfile.Append(file, "SECOND", []byte(second))
	if err != nil {
		second = ""
	}
	for name, want := range map[string]string{"FIRST": first, "SECOND": second} {
		if want == "" {
			continue // refused: it is not in the file
		}
		got, found, err := read(t, file, name)
		if err != nil || !found || got != want {
			t.Fatalf("%s: the kubelet reads %.80q (%d bytes), found %v, error %v; want %.80q (%d bytes)", name, got, len(got), found, err, want, len(want))
		}
	}
}

func TestTheKubeletReadsWhatWeWrite(t *testing.T) {
	for _, first := range samples {
		for _, second := range samples {
			check(t, first, second)
		}
	}
}

// TestWhatIsRefusedWouldHaveBeenLost keeps Check from refusing more than it must: without it, the kubelet would change or lose each of these.
func TestWhatIsRefusedWouldHaveBeenLost(t *testing.T) {
	refused := 0
	for _, value := range samples {
		if envfile.Check("FIRST", []byte(value)) == nil {
			continue
		}
		refused++
		if strings.ContainsAny(value, "\x00\xff") {
			continue // the parser passes them on; the container runtime does not
		}
		got, found, err := read(t, []byte("FIRST='"+value+"'\n"), "FIRST")
		if err == nil && found && got == value {
			t.Errorf("%.80q is refused, but the kubelet would have read it", value)
		}
	}
	if refused < 8 {
		t.Errorf("only %d samples are refused", refused)
	}
}

func FuzzTheKubeletReadsWhatWeWrite(f *testing.F) {
	for i, first := range samples {
		f.Add(first, samples[len(samples)-1-i])
	}
	f.Fuzz(check)
}
