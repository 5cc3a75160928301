// SPDX-License-Identifier: Apache-2.0

// Package toolchain provides the binaries of the disposable cluster. There is
// no image to pull them from, so they are compiled from Go modules, once, into
// a cache that outlives the working tree.
package toolchain

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/lanyard-dev/lanyard/tools/image"
)

// Part is something that is built as a whole. Name is also the directory below
// e2e/cluster that holds a module of its own, whose go.mod says the versions:
// `make align` gives packages that several parts share the same ones, so that
// they are compiled once.
type Part struct {
	Name string
	// Packages are the import paths of commands that the module requires as its
	// tools. If empty, the module has one main package, and the binary the part's name.
	Packages []string
	Tags     string
	// Cgo lets a C compiler take part.
	Cgo bool
	// Variables are set by the linker: import path and name → value.
	Variables map[string]string
	// Aliases are further names of the binary, for one that looks at argv[0].
	Aliases []string
	// Cold is about how long a build takes on two cores with an empty build
	// cache, for the person who waits.
	Cold string
}

// The parts of a cluster, and what is used beside it.
var (
	Etcd = Part{Name: "etcd", Cold: "45 s"}

	Kubernetes = Part{
		Name: "kubernetes",
		// Without these a node reports v0.0.0-master, and whatever decides by
		// version decides wrongly.
		Variables: map[string]string{
			"k8s.io/component-base/version.gitVersion":   KubernetesVersion,
			"k8s.io/component-base/version.gitMajor":     "1",
			"k8s.io/component-base/version.gitMinor":     "37",
			"k8s.io/component-base/version.gitTreeState": "clean",
		},
		Aliases: []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"},
		Cold:    "5 min",
	}

	Containerd = Part{
		Name: "containerd",
		Packages: []string{
			"github.com/containerd/containerd/v2/cmd/containerd",
			"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
			"github.com/containerd/containerd/v2/cmd/ctr",
		},
		Tags: "no_btrfs", // its headers are not on every machine
		Cold: "1 min",
	}

	CoreDNS = Part{Name: "coredns", Cold: "15 s"}

	Vault = Part{Name: "vault", Cold: "1 min"}

	// Runc is newer than what distributions have: a kubelet wants one that maps the
	// users of mounts before it runs pods in user namespaces.
	Runc = Part{Name: "runc", Packages: []string{"github.com/opencontainers/runc"}, Tags: "seccomp", Cgo: true, Cold: "30 s"}

	Helm = Part{Name: "helm", Packages: []string{"helm.sh/helm/v4/cmd/helm"}, Cold: "15 s"}
)

// Parts returns everything that a cluster cannot start without.
func Parts() []Part { return []Part{Etcd, Containerd, Kubernetes, CoreDNS} }

// All returns Parts and what is used beside a cluster.
func All() []Part { return append(Parts(), Vault, Helm) }

// KubernetesVersion is the version every component reports. A test compares it
// with the one required by kubernetes/go.mod.
const KubernetesVersion = "v1.37.2"

// key names one build of p: it changes when anything does that the binary
// depends on. Versions of dependencies are in go.sum.
func (p Part) key(source, goVersion string) (string, error) {
	hash := sha256.New()
	fmt.Fprintln(hash, "3", goVersion, runtime.GOOS, runtime.GOARCH, p.Name, p.Packages, p.flags(), p.Aliases, p.Cgo)
	root := filepath.Join(source, p.Name)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, "_test.go") {
			return err
		}
		return hashFile(hash, root, path)
	})
	if err != nil {
		return "", fmt.Errorf("hashing sources of %s: %w", p.Name, err)
	}
	return hex.EncodeToString(hash.Sum(nil))[:16], nil
}

// hashFile adds the name below root and the content of the file at path, to hash.
func hashFile(hash io.Writer, root, path string) error {
	name, err := filepath.Rel(root, path)
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	fmt.Fprintln(hash, name, info.Size())
	_, err = io.Copy(hash, file)
	return err
}

// commands are the packages that are built.
func (p Part) commands() []string {
	if len(p.Packages) == 0 {
		return []string{"."}
	}
	return p.Packages
}

// flags are those of `go build`.
func (p Part) flags() []string {
	linker := []string{"-s", "-w"}
	for name, value := range p.Variables {
		linker = append(linker, "-X="+name+"="+value)
	}
	slices.Sort(linker)
	flags := []string{"-trimpath", "-buildvcs=false", image.QuickFlag, "-ldflags", strings.Join(linker, " ")}
	if p.Tags != "" {
		flags = append(flags, "-tags", p.Tags)
	}
	return flags
}
