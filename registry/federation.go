// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"errors"
	"flag"
	"fmt"

	"github.com/lanyard-dev/lanyard/registry/authn/issuer"
)

// Federation says whose ID tokens organizations may trust. The zero Federation is nobody's.
type Federation struct {
	Issuers []string // see [issuer.Config]
	CAFile  string
}

func (f *Federation) flags(flags *flag.FlagSet) {
	flags.Func("federation-issuers", "comma-separated `URLs` of issuers whose ID tokens organizations may let CI jobs in by, each exactly as it writes itself; * for all that are not inside the network; without it, there are none", list(&f.Issuers))
	flags.StringVar(&f.CAFile, "federation-ca-file", "", "PEM `file` to verify the issuers that are named against, besides the system's roots")
}

func (f *Federation) validate() error {
	if f.CAFile != "" && len(f.Issuers) == 0 {
		return errors.New("-federation-ca-file needs -federation-issuers")
	}
	if _, err := issuer.New(issuer.Config{Issuers: f.Issuers}); err != nil {
		return fmt.Errorf("-federation-issuers: %w", err)
	}
	return nil
}

// open connects to no issuer: each is asked when a token of it comes.
func (f *Federation) open() (*issuer.Issuers, error) {
	return issuer.New(issuer.Config{Issuers: f.Issuers, CAFile: f.CAFile})
}
