// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"
	corev1 "k8s.io/api/core/v1"
)

const (
	// authorized is how long what a credential was shown is taken to be shown to it still.
	authorized = 5 * time.Minute
	// tagged is how long a tag is taken to name the same digest.
	tagged = 10 * time.Second
	// maxKept bounds the cache. A pod of one image and architecture needs four entries.
	maxKept = 1024
	// readTimeout bounds one read, which may go on for others when the pod that began it is gone.
	readTimeout = 3 * time.Second
	// maxImages bounds those of one pod.
	maxImages = 16
	// maxAtOnce bounds those of one pod that are looked up at the same time.
	maxAtOnce = 4
)

// Secrets reads a Secret by its name. Implementations are safe for concurrent use, and return the errors of the API server.
type Secrets interface {
	Secret(ctx context.Context, namespace, name string) (*corev1.Secret, error)
}

// Config of a [Client].
type Config struct {
	// Registries are those that may be asked, each <host>[:<port>], with http:// in front if it is without TLS.
	Registries []string
	// Secrets reads the pods' image pull secrets, where a registry does not show an image to everybody.
	Secrets Secrets
}

// A Client looks images up. Its methods are safe for concurrent use.
type Client struct {
	cfg        Config
	registries registries
	http       atomic.Pointer[http.Client]
	cache      *cache
	flights    singleflight.Group
	bulkhead   *bulkhead
	key        [32]byte // of the hashes of credentials
	lookups    *prometheus.CounterVec
}

// New returns a client that trusts the system's authorities.
func New(cfg Config) (*Client, error) {
	r, err := parseRegistries(cfg.Registries)
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, registries: r, cache: newCache(maxKept), bulkhead: newBulkhead(r)}
	_, _ = rand.Read(c.key[:]) // never fails
	c.lookups = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lanyard_injector_image_lookups_total", Help: "Images looked up for pods, by outcome."}, []string{"outcome"})
	for _, outcome := range []Kind{found, NotAllowed, Denied, Unavailable, Ambiguous} {
		c.lookups.WithLabelValues(string(outcome))
	}
	return c, c.trust(nil)
}

// found is the outcome that is no error.
const found Kind = "found"

// LoadCA trusts the authorities of a PEM file besides the system's.
func (c *Client) LoadCA(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the image registries' CA: %w", err)
	}
	return c.trust(text)
}

func (c *Client) trust(text []byte) error {
	pool, err := roots(text)
	if err != nil {
		return err
	}
	before := c.http.Swap(&http.Client{Transport: newTransport(c.registries, pool), CheckRedirect: checkRedirect})
	if before != nil {
		before.Transport.(*transport).close()
	}
	return nil
}

// Collectors returns the client's metrics.
func (c *Client) Collectors() []prometheus.Collector { return []prometheus.Collector{c.lookups} }

// A Request is what is asked for one pod.
type Request struct {
	Namespace     string
	PullSecrets   []string // of the pod, in its order
	Architectures []string // that it may come to, as Kubernetes names them; not empty
	Images        []string // as the pod names them
}

// An Answer is what an image runs by itself.
type Answer struct {
	// Reference is the image as the pod names it, with the digest of what was read. An image that has one stays as it is.
	Reference       string
	Entrypoint, Cmd []string
	Err             *Error // nil if the rest is known

	digest string // of what was read
}

// Look looks the images of one pod up. It returns when all are known or ctx is done, with an answer for each.
func (c *Client) Look(ctx context.Context, r Request) map[string]Answer {
	keys := c.pullSecrets(r)
	answers := make([]Answer, len(r.Images))
	var group sync.WaitGroup
	places := make(chan struct{}, maxAtOnce)
	for i, image := range r.Images {
		if i >= maxImages {
			answers[i].Err = refused(Unavailable, "more than %d images of one pod are not looked up", maxImages)
			continue
		}
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			answers[i] = c.one(ctx, image, r.Architectures, keys)
		})
	}
	group.Wait()
	all := make(map[string]Answer, len(answers))
	for i, image := range r.Images {
		outcome := found
		if err := answers[i].Err; err != nil {
			outcome = err.Kind
		}
		c.lookups.WithLabelValues(string(outcome)).Inc()
		all[image] = answers[i]
	}
	return all
}

// one looks one image up: with nobody's credential first, then with those of the pod.
func (c *Client) one(ctx context.Context, image string, architectures []string, keys pullSecrets) Answer {
	ref, err := parseReference(image)
	if err != nil {
		return Answer{Err: refused(Denied, "%.100q is no name of an image", image)}
	}
	at, allowed := c.registries[ref.host]
	if !allowed {
		return Answer{Err: refused(NotAllowed, "image registry %s is none that may be asked; these are %.500s", ref.host, c.registries)}
	}
	answer := c.ask(ctx, ref, at, credential{}, architectures)
	if answer.Err != nil && answer.Err.Kind == Denied {
		ring, why := keys(ctx)
		if why != nil {
			return Answer{Err: why}
		}
		for _, cred := range ring.lookup(ref) {
			if answer = c.ask(ctx, ref, at, cred, architectures); answer.Err == nil || answer.Err.Kind != Denied {
				break
			}
		}
	}
	if answer.Err != nil && answer.Err.Kind == Denied {
		return Answer{Err: refused(Denied, "image registry %s shows %.300s neither to everybody nor to the pod's image pull secrets", ref.host, ref.repository+" "+ref.what())}
	}
	if answer.Reference = image; ref.digest == "" {
		answer.Reference += "@" + answer.digest
	}
	return answer
}
