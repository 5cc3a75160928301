// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// LeafSource serves leaves signed by one CA and replaces each at about two thirds of its life, so that no connection ever sees an expired one.
type LeafSource struct {
	ca       *CA
	dnsNames []string
	log      *slog.Logger
	leaf     atomic.Pointer[tls.Certificate]
}

// NewLeafSource signs the first leaf. log may be nil.
func NewLeafSource(ca *CA, dnsNames []string, log *slog.Logger) (*LeafSource, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &LeafSource{ca: ca, dnsNames: dnsNames, log: log}
	leaf, err := ca.Leaf(dnsNames, time.Now())
	if err != nil {
		return nil, err
	}
	s.leaf.Store(leaf)
	return s, nil
}

// GetCertificate is for [tls.Config]; it does not block.
func (s *LeafSource) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	leaf := s.leaf.Load()
	if leaf == nil {
		return nil, errors.New("no serving certificate")
	}
	return leaf, nil
}

// Run replaces leaves until ctx ends. When signing fails it keeps the old leaf and tries again every minute.
func (s *LeafSource) Run(ctx context.Context) {
	timer := time.NewTimer(renewIn(s.leaf.Load(), time.Now()))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		leaf, err := s.ca.Leaf(s.dnsNames, time.Now())
		if err != nil {
			s.log.ErrorContext(ctx, "serving certificate not renewed", "err", err)
			timer.Reset(time.Minute)
			continue
		}
		s.leaf.Store(leaf)
		s.log.InfoContext(ctx, "serving certificate renewed", "not_after", leaf.Leaf.NotAfter)
		timer.Reset(renewIn(leaf, time.Now()))
	}
}

// renewIn is two thirds of what is left of the leaf, less up to a tenth of it, so that replicas started together do not renew together.
func renewIn(leaf *tls.Certificate, now time.Time) time.Duration {
	left := leaf.Leaf.NotAfter.Sub(now)
	wait := left*2/3 - time.Duration(rand.Float64()*float64(left)/10)
	return max(wait, time.Minute)
}
