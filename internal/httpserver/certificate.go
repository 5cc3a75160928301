// SPDX-License-Identifier: Apache-2.0

package httpserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/fsnotify/fsnotify"

	"github.com/lanyard-dev/lanyard/internal/pki"
)

// Names of the files, as in a Secret of type kubernetes.io/tls.
const (
	certFile = "tls.crt"
	keyFile  = "tls.key"
)

// Certificate is what a listener serves with, read from a directory as a mounted Kubernetes Secret of type kubernetes.io/tls has it.
//
// If the certificate there is an authority, leaves are signed by it in memory and replaced in time; else it is served itself, and served anew when the files
// change. Files that cannot be read or do not match leave the certificate in use as it was.
type Certificate struct {
	dir     string
	names   []string
	log     *slog.Logger
	current atomic.Pointer[tls.Certificate]
	leaves  *pki.LeafSource
}

// LoadCertificate reads dir. names are the DNS names of the leaves, needed when dir holds an authority.
func LoadCertificate(dir string, names []string, log *slog.Logger) (*Certificate, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Certificate{dir: dir, names: names, log: log}
	certPEM, keyPEM, err := c.read()
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate in %s: %w", dir, err)
	}
	if !pair.Leaf.IsCA {
		c.current.Store(&pair)
		return c, nil
	}
	ca, err := pki.ParseCA(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("reading the authority in %s: %w", dir, err)
	}
	if c.leaves, err = pki.NewLeafSource(ca, names, log); err != nil {
		return nil, fmt.Errorf("signing with the authority in %s: %w", dir, err)
	}
	return c, nil
}

func (c *Certificate) read() (certPEM, keyPEM []byte, err error) {
	// Resolved once: the kubelet swaps the directory behind ..data, and both files must come from the same one.
	dir, err := filepath.EvalSymlinks(filepath.Join(c.dir, "..data"))
	if err != nil {
		dir = c.dir
	}
	if certPEM, err = os.ReadFile(filepath.Join(dir, certFile)); err != nil {
		return nil, nil, fmt.Errorf("reading the certificate: %w", err)
	}
	if keyPEM, err = os.ReadFile(filepath.Join(dir, keyFile)); err != nil {
		return nil, nil, fmt.Errorf("reading the certificate's key: %w", err)
	}
	return certPEM, keyPEM, nil
}

// GetCertificate is for [tls.Config]; it does not block.
func (c *Certificate) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.leaves != nil {
		return c.leaves.GetCertificate(hello)
	}
	return c.current.Load(), nil
}

// Run keeps the certificate fresh until ctx ends.
func (c *Certificate) Run(ctx context.Context) error {
	if c.leaves != nil {
		c.leaves.Run(ctx)
		return nil
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching the certificate: %w", err)
	}
	defer watcher.Close()
	if err := watcher.Add(c.dir); err != nil {
		return fmt.Errorf("watching the certificate in %s: %w", c.dir, err)
	}
	c.reload(ctx) // it may have changed before the watch began
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-watcher.Events:
			if !ok {
				return nil
			}
			c.reload(ctx)
		case err := <-watcher.Errors:
			c.log.WarnContext(ctx, "certificate watch", "err", err)
		}
	}
}

func (c *Certificate) reload(ctx context.Context) {
	certPEM, keyPEM, err := c.read()
	if err == nil {
		var pair tls.Certificate
		if pair, err = tls.X509KeyPair(certPEM, keyPEM); err == nil {
			if string(pair.Certificate[0]) != string(c.current.Load().Certificate[0]) {
				c.current.Store(&pair)
				c.log.InfoContext(ctx, "serving certificate reloaded", "not_after", pair.Leaf.NotAfter)
			}
			return
		}
	}
	c.log.WarnContext(ctx, "serving certificate kept: the new files cannot be used", "err", err)
}
