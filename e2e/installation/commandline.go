// SPDX-License-Identifier: Apache-2.0

package installation

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// CommandLine is the command lanyard of this checkout, as one user on this machine has it: with a kubectl for the cluster in the PATH, and what it keeps in a directory.
type CommandLine struct {
	dir, binary  string
	server       string
	token        string // empty: what Login kept
	installation *Installation
}

// CommandLine builds the command into dir, where it keeps its configuration too.
func (i *Installation) CommandLine(ctx context.Context, dir string) (*CommandLine, error) {
	root, err := checkoutPath()
	if err != nil {
		return nil, err
	}
	c := &CommandLine{dir: dir, binary: filepath.Join(dir, "lanyard"), server: i.API.base, installation: i}
	if err := os.WriteFile(c.authority(), i.registryCA, 0o600); err != nil {
		return nil, fmt.Errorf("writing the registry's certificate authority: %w", err)
	}
	if err := i.run(ctx, "go", "-C", root, "build", "-trimpath", "-o", c.binary, "./cmd/lanyard"); err != nil {
		return nil, fmt.Errorf("building the command: %w", err)
	}
	return c, nil
}

// As is the command with a token of an environment variable.
func (c *CommandLine) As(token string) *CommandLine {
	other := *c
	other.token = token
	return &other
}

func (c *CommandLine) authority() string { return filepath.Join(c.dir, "ca.crt") }

// Command returns a command, not yet started. Its server and authority are the installation's, its token what [CommandLine.Login] kept, if anything.
func (c *CommandLine) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.binary, args...)
	kubectl := filepath.Dir(c.installation.Cluster.KubectlPath())
	cmd.Env = []string{
		"HOME=" + c.dir, "PATH=" + kubectl + ":" + os.Getenv("PATH"), "KUBECONFIG=" + c.installation.Cluster.Kubeconfig(),
		"LANYARD_SERVER=" + c.server, "LANYARD_SERVER_NAME=" + registryHost, "LANYARD_CA_FILE=" + c.authority(),
	}
	if c.token != "" {
		cmd.Env = append(cmd.Env, "LANYARD_TOKEN="+c.token)
	}
	return cmd
}

// Run returns what the command writes to standard output. The error has what it said besides.
func (c *CommandLine) Run(ctx context.Context, args ...string) (string, error) {
	cmd := c.Command(ctx, args...)
	var out, said strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("lanyard %s: %w\n%s%s", strings.Join(args, " "), err, out.String(), said.String())
	}
	return out.String(), nil
}

var (
	shownPage = regexp.MustCompile(`(?m)^  (https://\S+)$`)
	shownCode = regexp.MustCompile(`(?m)^  ([0-9A-Z]{4}-[0-9A-Z]{4})$`)
)

// Login runs `lanyard login --web`, and lets it in with the browser of somebody who is signed in: types the code it shows at the page it shows.
func (c *CommandLine) Login(ctx context.Context, b *Browser, org string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := c.Command(ctx, "login", "--web", "--org", org, "--context", "e2e")
	said, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting lanyard login: %w", err)
	}
	var text []byte
	for part := make([]byte, 4096); shownCode.Find(text) == nil; {
		n, err := said.Read(part)
		text = append(text, part[:n]...)
		if err != nil {
			_ = cmd.Wait()
			return fmt.Errorf("lanyard login shows no code: %s", text)
		}
	}
	page, code := shownPage.FindSubmatch(text), shownCode.FindSubmatch(text)
	if page == nil || code == nil {
		cancel()
		_ = cmd.Wait()
		return fmt.Errorf("lanyard login shows no page: %s", text)
	}
	if err := b.letIn(ctx, string(page[1]), string(code[1])); err != nil {
		cancel()
		_ = cmd.Wait()
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("lanyard login: %w", err)
	}
	return nil
}

// letIn types a command line's code at its page, and lets it in.
func (b *Browser) letIn(ctx context.Context, address, code string) error {
	asked, err := b.Get(ctx, address)
	if err != nil {
		return fmt.Errorf("opening the page of the command line: %w", err)
	}
	if asked.URL.Path != "/auth/device" || asked.Status != http.StatusOK {
		return fmt.Errorf("the page of the command line is %s with status %d", asked.URL.Path, asked.Status)
	}
	shown, err := b.Post(ctx, "/auth/device/code", url.Values{"user_code": {code}})
	if err != nil {
		return fmt.Errorf("typing the code: %w", err)
	}
	ticket, err := shown.Field("ticket")
	if err != nil {
		return fmt.Errorf("typing the code: %w", err)
	}
	let, err := b.Post(ctx, "/auth/device/answer", url.Values{"ticket": {ticket}, "answer": {"let-in"}})
	if err != nil {
		return fmt.Errorf("letting the command line in: %w", err)
	}
	if let.Status != http.StatusOK {
		return fmt.Errorf("letting the command line in: status %d", let.Status)
	}
	return nil
}
