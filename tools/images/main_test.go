// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"debug/elf"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func TestImagesAreReproducibleAndComplete(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for _, out := range []string{first, second} {
		args := []string{"-version", "v0.0.1", "-out", out, "-prefix", "registry.local", "hello=testdata/hello"}
		if err := run(t.Context(), args, io.Discard, io.Discard); err != nil {
			t.Fatal(err)
		}
	}

	for _, file := range []string{"hello/index.json", "hello-amd64.tar", "hello-arm64.tar"} {
		a, err := os.ReadFile(filepath.Join(first, file))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(second, file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s differs between two builds", file)
		}
	}

	index, err := layout.ImageIndexFromPath(filepath.Join(first, "hello"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Errorf("validating the layout: %v", err)
	}
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	for arch, machine := range machines {
		t.Run(arch, func(t *testing.T) {
			tag, err := name.NewTag("registry.local/hello:v0.0.1")
			if err != nil {
				t.Fatal(err)
			}
			image, err := tarball.ImageFromPath(filepath.Join(first, "hello-"+arch+".tar"), &tag)
			if err != nil {
				t.Fatal(err)
			}
			checkConfig(t, image, arch)
			checkRootfs(t, image, machine)
		})
	}
}

func checkConfig(t *testing.T, image v1.Image, arch string) {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Architecture != arch || config.OS != "linux" {
		t.Errorf("got platform %s/%s, want linux/%s", config.OS, config.Architecture, arch)
	}
	if config.Config.User != "65532:65532" || !slices.Equal(config.Config.Entrypoint, []string{"/hello"}) {
		t.Errorf("got user %q, entrypoint %q", config.Config.User, config.Config.Entrypoint)
	}
	if got := config.Config.Labels["org.opencontainers.image.version"]; got != "v0.0.1" {
		t.Errorf("got version label %q", got)
	}
	if config.Created.Unix() != 0 {
		t.Errorf("got creation time %s, want the epoch", config.Created)
	}
	if layers, err := image.Layers(); err != nil || len(layers) != 1 {
		t.Errorf("got %d layers, %v, want one", len(layers), err)
	}
}

// checkRootfs demands one file, executable and static: a scratch image has no loader.
func checkRootfs(t *testing.T, image v1.Image, machine elf.Machine) {
	t.Helper()
	rootfs, err := io.ReadAll(mutate.Extract(image))
	if err != nil {
		t.Fatal(err)
	}
	files := entries(t, rootfs)
	if len(files) != 1 || files[0].header.Name != "hello" || files[0].header.Mode != 0o555 || files[0].header.Uid != 0 {
		t.Fatalf("got files %+v, want /hello alone, 0555, root's", files)
	}
	binary, err := elf.NewFile(bytes.NewReader(files[0].content))
	if err != nil {
		t.Fatal(err)
	}
	if binary.Machine != machine {
		t.Errorf("got a binary for %s, want %s", binary.Machine, machine)
	}
	for _, segment := range binary.Progs {
		if segment.Type == elf.PT_INTERP {
			t.Error("the binary wants a dynamic loader")
		}
	}
}

func TestArgumentsAreRefusedWithAReason(t *testing.T) {
	out := t.TempDir()
	if err := os.WriteFile(filepath.Join(out, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args []string
		want string
	}{
		"nothing is named":             {want: "nothing to build; hint: name images as NAME=DIRECTORY"},
		"an argument has no directory": {args: []string{"hello"}, want: `argument "hello": want NAME=DIRECTORY`},
		"the output holds other files": {
			args: []string{"-arch", "amd64", "-out", filepath.Dir(out), filepath.Base(out) + "=testdata/hello"},
			want: "replacing " + out + ": it is not empty and not an OCI layout",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), test.args, io.Discard, io.Discard)
			if err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}
