// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
)

// mark returns what stands for the values of p, which are all there: two answers to one pod have the same mark exactly if they hold the same. Of a local secret
// its id and version go in, of a remote one, which has no version of ours, the value; but not one that was made for this request, which is given back if nothing else changed.
//
// The key makes it say nothing else: without it a mark can neither be made nor tried out against guesses of a value. The pod's uid makes marks of different
// pods incomparable, so that nobody learns from them that two secrets are equal.
func (r *Resolver) mark(p *plan, call Call) string {
	if r.config.MarkKey == nil {
		return ""
	}
	key := r.config.MarkKey()
	defer clear(key[:])
	m := marker{hmac.New(sha256.New, key[:])}
	m.text("lanyard mark 1")
	m.text(call.Principal.Cluster)
	m.text(call.Principal.PodUID)
	for _, it := range p.items {
		c := p.request.containers[it.container]
		m.text(c.Name)
		m.text(string(c.Delivery))
		m.text(it.env)
		switch s := it.secret; {
		case s == nil:
			m.text("plain")
			m.bytes(it.plain.Reveal())
		case s.version != 0:
			m.text("local")
			m.text(s.id)
			m.number(s.version)
		case s.leased: // each read makes others, and those the pod has are renewed
			m.text("leased")
			m.text(s.id)
		default:
			m.text("remote")
			m.text(s.id)
			m.bytes(s.value.Reveal())
		}
	}
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// marker hashes fields in a way that no two lists of fields share.
type marker struct{ hash.Hash }

func (m marker) number(n uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	_, _ = m.Write(b[:]) // a hash does not fail
}

func (m marker) bytes(b []byte) {
	m.number(uint64(len(b)))
	_, _ = m.Write(b)
}

func (m marker) text(s string) { m.bytes([]byte(s)) }
