// SPDX-License-Identifier: Apache-2.0

// Command etcd is the etcd server that holds the state of the disposable cluster.
//
// It has a module of its own because the upstream module that holds the command
// has replace directives, which `go install` refuses, and because nothing else
// in the end-to-end tests should follow etcd's choice of dependencies.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
