// SPDX-License-Identifier: Apache-2.0

// Command coredns is the disposable cluster's name server: CoreDNS with the few
// plugins that answer for Services. It forwards nothing, so no query leaves the
// machine.
package main

import (
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"

	"github.com/coredns/coredns/coremain"
)

func main() { coremain.Run() }
