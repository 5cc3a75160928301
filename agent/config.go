// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

const defaultTerminationLog = "/dev/termination-log"

// Config is what [Run] needs. [ConfigFromEnv] makes a valid one.
type Config struct {
	URL        string // https, without a path
	ServerName string // the registry's certificate must be for it
	CA         *x509.CertPool
	Request    wire.ResolveRequest
	Deadline   time.Duration
	TokenFile  string
	Dir        string            // where env files go
	BinDir     string            // where the agent's program goes, if a container's command is wrapped; nowhere if it is podspec.BinNowhere
	ValuesDir  string            // where values of the exec and file deliveries go: a directory for each container
	FilesMode  podspec.FilesMode // of files of the file delivery
	Bundles    []string          // formats of podspec.Bundles that all values of such a container are also written in
	Refresh    Refresh           // what [Sidecar] does after the first values
	// TerminationLog is written by [Report] if it exists; empty means nowhere.
	TerminationLog string
	// Logger receives one line per try and one at the end; nil discards them.
	Logger *slog.Logger
}

// ConfigFromEnv reads the variables of the package comment. The error is a [*Failure] that names every variable that is wrong; the Config returned with it
// serves [Report] only.
func ConfigFromEnv(getenv func(string) string) (Config, error) {
	env := func(name, fallback string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return fallback
	}
	var problems []error
	wrong := func(name string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("%s %w", name, err))
		}
	}
	absolute := func(name, fallback string) string {
		path := env(name, fallback)
		if !filepath.IsAbs(path) {
			wrong(name, errors.New("is not an absolute path: begin it with a slash"))
		}
		return path
	}

	var c Config
	var err error
	c.TerminationLog = absolute(podspec.EnvTerminationLog, defaultTerminationLog)
	c.TokenFile = absolute(podspec.EnvTokenFile, filepath.Join(podspec.MountToken, podspec.TokenPath))
	c.Dir = absolute(podspec.EnvDir, podspec.MountEnv)
	if c.BinDir = podspec.BinNowhere; getenv(podspec.EnvBinDir) != podspec.BinNowhere {
		c.BinDir = absolute(podspec.EnvBinDir, podspec.MountBin)
	}
	c.ValuesDir = absolute(podspec.EnvValuesDir, podspec.MountValues)
	c.URL, c.ServerName, err = parseURL(getenv(podspec.EnvURL))
	wrong(podspec.EnvURL, err)
	if name := getenv(podspec.EnvServerName); name != "" {
		c.ServerName = name
		wrong(podspec.EnvServerName, checkServerName(name))
	}
	c.CA, err = parseCA(getenv(podspec.EnvCA))
	wrong(podspec.EnvCA, err)
	c.Request, err = parseRequest(getenv(podspec.EnvRequest))
	wrong(podspec.EnvRequest, err)
	c.Deadline, err = parseDeadline(getenv(podspec.EnvDeadline))
	wrong(podspec.EnvDeadline, err)
	c.FilesMode, err = podspec.ParseFilesMode(getenv(podspec.EnvFilesMode))
	wrong(podspec.EnvFilesMode, err)
	c.Bundles, err = podspec.ParseBundles(getenv(podspec.EnvFilesBundle))
	wrong(podspec.EnvFilesBundle, err)
	c.Refresh = parseRefresh(getenv, &c.Request, wrong)
	if len(problems) > 0 {
		return c, &Failure{Exit: ExitConfiguration, Err: errors.Join(problems...)}
	}
	return c, nil
}

// CheckArguments refuses command line arguments: everything that configures the agent is in its environment, and an argument that did nothing would mislead.
func CheckArguments(args []string) error {
	if len(args) == 0 {
		return nil
	}
	return &Failure{Exit: ExitConfiguration, Err: fmt.Errorf("unknown argument %q: the init agent takes none but \"version\", \"exec\" and \"started\"; configure it by its ENV variables", args[0])}
}

// parseURL returns the URL without a trailing slash, and its host. Errors do not quote the text, which might hold a password.
func parseURL(text string) (base, host string, err error) {
	if text == "" {
		return "", "", errors.New("is empty: set it to the https URL of the registry's workload listener")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", "", errors.New("is not a URL: write it as https://host:port")
	case u.Scheme != "https":
		return "", "", errors.New("is not an https URL: values are only sent over TLS")
	case u.Hostname() == "":
		return "", "", errors.New("has no host: write it as https://host:port")
	case u.User != nil:
		return "", "", errors.New("holds a user name: remove it, the agent authenticates with the pod's token")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return "", "", errors.New("has more than scheme, host and port: remove the rest")
	}
	// A trailing dot keeps the resolver from trying search domains, but certificates are issued without it.
	return "https://" + u.Host, strings.TrimSuffix(u.Hostname(), "."), nil
}

func checkServerName(name string) error {
	if net.ParseIP(name) != nil {
		return nil
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' {
			return errors.New("is not a host name: write it without scheme and port")
		}
	}
	return nil
}

func parseCA(text string) (*x509.CertPool, error) {
	pool, rest, found := x509.NewCertPool(), []byte(text), 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("holds a PEM block that is no certificate: put nothing but certificates there")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("holds a certificate that cannot be read, number %d of the bundle: %w", found+1, err)
		}
		pool.AddCert(cert)
		found++
	}
	switch {
	case found == 0:
		return nil, errors.New("holds no certificate: set it to the PEM bundle of the authority that signed the registry's certificate")
	case strings.TrimSpace(string(rest)) != "":
		return nil, errors.New("holds something other than PEM after its last certificate: the bundle may be cut off")
	}
	return pool, nil
}

func parseDeadline(text string) (time.Duration, error) {
	if text == "" {
		return podspec.DefaultDeadline, nil
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, errors.New("is not a duration: write it like 90s or 2m")
	case d <= 0 || d > podspec.MaxDeadline:
		return 0, fmt.Errorf("must be more than zero and at most %v", podspec.MaxDeadline)
	}
	return d, nil
}
