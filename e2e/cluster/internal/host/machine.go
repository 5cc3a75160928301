// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// machine is what the node must adapt to.
type machine struct {
	// mayRaiseOOM: without CAP_SYS_RESOURCE runc cannot lower a process's OOM
	// score below its own, and dies ("can't get final child's PID from pipe").
	mayRaiseOOM bool
	// stacked: the directory is on overlayfs, on which overlayfs cannot be stacked.
	stacked bool
	// plugins is where the CNI plugins are, and runc the program's path.
	plugins, runc string
}

// packages are Debian's: what every node needs, and what runc is compiled with.
var (
	packages     = []string{"runc", "containernetworking-plugins", "iptables", "iproute2"}
	runcPackages = []string{"gcc", "libc6-dev", "pkg-config", "libseccomp-dev"}
)

// pluginDirs are where distributions put CNI plugins.
var pluginDirs = []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}

// inspect looks at the machine, installing what is missing where it can.
func inspect(ctx context.Context, config Config) (machine, error) {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return machine{}, errors.New("the host driver runs a kubelet on this machine: it needs Linux and root; hint: use sudo, or Docker with LANYARD_E2E_DRIVER=kind")
	}
	if err := provide(ctx, missingPrograms, packages, config.Progress); err != nil {
		return machine{}, err
	}
	if config.UserNamespaces {
		if err := provide(ctx, missingForRunc, runcPackages, config.Progress); err != nil {
			return machine{}, err
		}
	}
	runc, err := exec.LookPath("runc")
	if err != nil {
		return machine{}, err
	}
	m := machine{plugins: pluginDir(), runc: runc}
	if m.mayRaiseOOM, err = hasCapability(unix.CAP_SYS_RESOURCE); err != nil {
		return machine{}, err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(config.Root, &fs); err != nil {
		return machine{}, fmt.Errorf("inspecting %s: %w", config.Root, err)
	}
	m.stacked = fs.Type == unix.OVERLAYFS_SUPER_MAGIC
	return m, nil
}

func missingPrograms() []string {
	var missing []string
	for _, name := range []string{"runc", "iptables", "ip"} {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, name)
		}
	}
	if pluginDir() == "" {
		missing = append(missing, "CNI plugins ptp, host-local and loopback")
	}
	return missing
}

// missingForRunc looks for what compiles runc. Only pkg-config knows where a library is.
func missingForRunc() []string {
	var missing []string
	for _, name := range []string{"gcc", "pkg-config"} {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, name)
		}
	}
	if exec.Command("pkg-config", "--exists", "libseccomp").Run() != nil {
		missing = append(missing, "libseccomp")
	}
	return missing
}

func pluginDir() string {
next:
	for _, dir := range pluginDirs {
		for _, plugin := range []string{"ptp", "host-local", "loopback"} {
			if _, err := os.Stat(filepath.Join(dir, plugin)); err != nil {
				continue next
			}
		}
		return dir
	}
	return ""
}

// provide installs the packages if something is missing without them.
func provide(ctx context.Context, missing func() []string, packages []string, progress io.Writer) error {
	lacks := missing()
	if len(lacks) == 0 {
		return nil
	}
	want := strings.Join(lacks, ", ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("this machine lacks %s; hint: install the packages that Debian calls %s", want, strings.Join(packages, ", "))
	}
	fmt.Fprintf(progress, "installing Debian packages %s (missing: %s)\n", strings.Join(packages, " "), want)
	for _, args := range [][]string{
		{"update", "-qq"},
		slices.Concat([]string{"install", "-qq", "-y", "--no-install-recommends"}, packages),
	} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("running apt-get %s: %w\n%s", args[0], err, bytes.TrimSpace(output))
		}
	}
	if lacks := missing(); len(lacks) > 0 {
		return fmt.Errorf("this machine still lacks %s after installing %s", strings.Join(lacks, ", "), strings.Join(packages, ", "))
	}
	return nil
}

// hasCapability reports whether a process started by this one may have c.
func hasCapability(c int) (bool, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false, fmt.Errorf("reading capabilities: %w", err)
	}
	return parseCapability(string(status), c)
}

func parseCapability(status string, c int) (bool, error) {
	for line := range strings.Lines(status) {
		if text, ok := strings.CutPrefix(line, "CapEff:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
			if err != nil {
				return false, fmt.Errorf("parsing capabilities: %w", err)
			}
			return set&(1<<c) != 0, nil
		}
	}
	return false, errors.New("parsing capabilities: no CapEff")
}

// inUserNamespace reports whether kernel settings are out of the kubelet's reach.
func inUserNamespace() bool {
	uids, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false // a kernel without user namespaces
	}
	// Outside of one, all 2³²-1 ids map to themselves.
	return strings.Join(strings.Fields(string(uids)), " ") != "0 0 4294967295"
}
