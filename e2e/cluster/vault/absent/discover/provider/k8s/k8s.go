// SPDX-License-Identifier: Apache-2.0

// Package k8s stands in for a provider of package discover.
package k8s

import (
	"errors"
	"log"
)

type Provider struct{}

func (*Provider) Addrs(map[string]string, *log.Logger) ([]string, error) {
	return nil, errors.New("discovering peers is left out of this Vault")
}

func (*Provider) Help() string { return "" }
