// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/lanyard-dev/lanyard/cli/internal/profile"
	"github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/pkg/redact"
)

// configPath is where the configuration is kept, or an error if nobody said and the user has no directory for it.
func (a *app) configPath() (string, error) {
	if path := cmp.Or(a.flags.config, a.Getenv("LANYARD_CONFIG")); path != "" {
		return path, nil
	}
	if a.ConfigDir == "" {
		return "", misuse("", "there is no configuration directory; give --config")
	}
	return filepath.Join(a.ConfigDir, "lanyard", "config.yaml"), nil
}

func (a *app) loadConfig() (path string, file profile.File, err error) {
	if path, err = a.configPath(); err != nil {
		return "", profile.File{}, err
	}
	file, err = profile.Load(path)
	if errors.Is(err, profile.ErrInsecure) {
		err = failed(Failure, fmt.Sprintf("it holds tokens: chmod 600 %s", path), err)
	}
	return path, file, err
}

// chosen is the context that was named, or else the current one; the zero Context if there is neither.
func (a *app) chosen() (name string, c profile.Context, err error) {
	named := cmp.Or(a.flags.context, a.Getenv("LANYARD_CONTEXT"))
	if a.flags.config == "" && a.Getenv("LANYARD_CONFIG") == "" && a.ConfigDir == "" && named == "" {
		return "", profile.Context{}, nil
	}
	path, file, err := a.loadConfig()
	if err != nil {
		return "", c, err
	}
	name = cmp.Or(named, file.Current)
	c, known := file.Contexts[name]
	if named != "" && !known {
		return "", c, misuse("`lanyard context list` shows those there are", "there is no context %q in %s", named, path)
	}
	return name, c, nil
}

// endpoint decides where to and as whom. Flags win over the environment, and that over the context. What a context knows of its own registry, above all
// the token, is used for that registry only.
func (a *app) endpoint() (endpoint, error) {
	_, c, err := a.chosen()
	if err != nil {
		return endpoint{}, err
	}
	e := endpoint{
		server:     cmp.Or(a.flags.server, a.Getenv("LANYARD_SERVER"), c.Server),
		caFile:     cmp.Or(a.flags.caFile, a.Getenv("LANYARD_CA_FILE")),
		serverName: cmp.Or(a.flags.serverName, a.Getenv("LANYARD_SERVER_NAME")),
		timeout:    a.flags.timeout,
	}
	if e.server == "" {
		return e, misuse("`lanyard login --server <url> --token-file <file>`, or --server, or LANYARD_SERVER", "it is not known where the registry is")
	}
	if e.token, err = a.givenToken(); err != nil {
		return e, err
	}
	if e.server == c.Server {
		e.caFile, e.serverName = cmp.Or(e.caFile, c.CAFile), cmp.Or(e.serverName, c.ServerName)
		if len(e.token.Reveal()) == 0 {
			e.token = redact.New([]byte(c.Token))
		}
	}
	return e, nil
}

// givenToken is the token of this invocation's flags and environment; empty if there is none.
func (a *app) givenToken() (redact.Value, error) {
	if a.flags.tokenFile == "" {
		return checkToken([]byte(a.Getenv("LANYARD_TOKEN")), "LANYARD_TOKEN")
	}
	content, err := a.readFile(a.flags.tokenFile, "--token-file", maxToken)
	if err != nil {
		return redact.Value{}, err
	}
	content = bytes.TrimSpace(content)
	if len(content) == 0 {
		return redact.Value{}, misuse("", "--token-file: it is empty")
	}
	return checkToken(content, "--token-file")
}

// maxToken is what the registry accepts of a token.
const maxToken = 8 << 10

// checkToken refuses what could not be sent in a header. net/http would, and quote it.
func checkToken(content []byte, from string) (redact.Value, error) {
	for _, c := range content {
		if c <= ' ' || c > '~' {
			return redact.Value{}, misuse("", "%s does not hold a token: it has blanks or other characters no token has", from)
		}
	}
	return redact.New(content), nil
}

// client returns a client for the registry with a token, unless there is none.
func (a *app) client() (*api.Client, error) {
	e, err := a.endpoint()
	if err != nil {
		return nil, err
	}
	if len(e.token.Reveal()) == 0 {
		return nil, failed(Denied, "`lanyard login --server <url> --token-file <file>`, or --token-file, or LANYARD_TOKEN", errors.New("there is no token for this registry"))
	}
	return e.client()
}

// tenant returns a client and the organization everything is about.
func (a *app) tenant() (*api.Client, string, error) {
	_, c, err := a.chosen()
	if err != nil {
		return nil, "", err
	}
	organization := cmp.Or(a.flags.organization, a.Getenv("LANYARD_ORG"), c.Organization)
	if organization == "" {
		return nil, "", misuse("give --org, set LANYARD_ORG, or log in with --org", "it is not known which organization is meant")
	}
	client, err := a.client()
	return client, organization, err
}

// readFile reads what a flag names, up to limit bytes; - is standard input, which can be read for one flag only.
func (a *app) readFile(path, flag string, limit int64) ([]byte, error) {
	in := a.In
	if path == "-" {
		if a.stdinTaken != "" {
			return nil, misuse("", "standard input can be read once, and %s reads it", a.stdinTaken)
		}
		a.stdinTaken = flag
	} else {
		f, err := os.Open(path)
		if err != nil {
			return nil, misuse("", "%s: %w", flag, err)
		}
		defer f.Close()
		in = f
	}
	content, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, failed(Failure, "", fmt.Errorf("reading %s: %w", flag, err))
	}
	if int64(len(content)) > limit {
		return nil, failed(Failure, "", fmt.Errorf("%s: it has more than %d bytes", flag, limit))
	}
	return content, nil
}
