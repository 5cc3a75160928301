// SPDX-License-Identifier: Apache-2.0

package names

import (
	"sync"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// View is what exists: a complete set of consumers and of secrets with grants, kept up to date while the stream it came from lives. Reads take no lock.
type View struct {
	consumers sync.Map // :: string → *wire.ConsumerNames, immutable once stored
	secrets   sync.Map // :: string → *wire.SecretNames, immutable once stored
	count     int      // of consumers; owned by the goroutine that applies events
}

// Lookup returns the consumer written <organization>/<consumer>. The caller must not change it.
func (v *View) Lookup(consumer string) (*wire.ConsumerNames, bool) {
	c, ok := v.consumers.Load(consumer)
	if !ok {
		return nil, false
	}
	return c.(*wire.ConsumerNames), true
}

// Secret returns the secret written <organization>/<secret>, if pods of the cluster may refer to it. The caller must not change it.
func (v *View) Secret(secret string) (*wire.SecretNames, bool) {
	s, ok := v.secrets.Load(secret)
	if !ok {
		return nil, false
	}
	return s.(*wire.SecretNames), true
}

func (v *View) put(c *wire.ConsumerNames) {
	if _, existed := v.consumers.Swap(c.Ref, c); !existed {
		v.count++
	}
}

func (v *View) delete(consumer string) {
	if _, existed := v.consumers.LoadAndDelete(consumer); existed {
		v.count--
	}
}
