// SPDX-License-Identifier: Apache-2.0

package names

import (
	"sync"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// View is what exists: a complete set of consumers, kept up to date while the stream it came from lives. Reads take no lock.
type View struct {
	consumers sync.Map // :: string → *wire.ConsumerNames, immutable once stored
	count     int      // owned by the goroutine that applies events
}

// Lookup returns the consumer written <organization>/<consumer>. The caller must not change it.
func (v *View) Lookup(consumer string) (*wire.ConsumerNames, bool) {
	c, ok := v.consumers.Load(consumer)
	if !ok {
		return nil, false
	}
	return c.(*wire.ConsumerNames), true
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
