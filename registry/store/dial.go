// SPDX-License-Identifier: Apache-2.0

package store

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Endpoints says where an etcd of its own is, and who we are there.
type Endpoints struct {
	URLs []string // https://host:port; http:// to a loopback address only
	// CAFile holds the certificates etcd's is checked against; the system's if empty. CertFile and KeyFile are our own. All are PEM; our own are read again
	// for every connection, so they may be renewed in place.
	CAFile, CertFile, KeyFile string
}

// Dial returns a client of an etcd, which the caller closes. It does not wait for a connection: [Open] finds out. Calls over a connection that went silent
// fail within ten seconds.
func Dial(e Endpoints) (*clientv3.Client, error) {
	if len(e.URLs) == 0 {
		return nil, errors.New("connecting to etcd: no endpoints")
	}
	secure := false
	for _, text := range e.URLs {
		u, err := url.Parse(text)
		switch {
		case err != nil:
			return nil, fmt.Errorf("connecting to etcd: %w", err)
		case u.Scheme == "https":
			secure = true
		case u.Scheme == "http" && loopback(u.Hostname()):
		default:
			return nil, fmt.Errorf("connecting to etcd: endpoint %q must be https://host:port, or http:// on a loopback address", text)
		}
	}
	config := clientv3.Config{
		Endpoints:            e.URLs,
		DialTimeout:          writeTimeout,
		DialKeepAliveTime:    5 * time.Second,
		DialKeepAliveTimeout: 3 * time.Second,
		Logger:               zap.NewNop(), // what matters comes back as an error
	}
	if secure {
		var err error
		if config.TLS, err = e.tls(); err != nil {
			return nil, fmt.Errorf("connecting to etcd: %w", err)
		}
	}
	client, err := clientv3.New(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to etcd: %w", err)
	}
	return client, nil
}

func (e Endpoints) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.CAFile != "" {
		pem, err := os.ReadFile(e.CAFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%q holds no certificate", e.CAFile)
		}
	}
	if (e.CertFile == "") != (e.KeyFile == "") {
		return nil, errors.New("a client certificate needs its key, and the other way round")
	}
	if e.CertFile != "" {
		load := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(e.CertFile, e.KeyFile)
			return &pair, err
		}
		if _, err := load(nil); err != nil {
			return nil, err
		}
		config.GetClientCertificate = load
	}
	return config, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
