// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

const host = "lanyard-injector.lanyard.svc"

// interval lets years pass quickly.
const interval = 2 * time.Hour

// cluster is an API server that holds one Secret and one webhook configuration, with its optimistic concurrency.
type cluster struct {
	mu       sync.Mutex
	version  int
	secret   *corev1.Secret
	webhook  *admissionv1.MutatingWebhookConfiguration
	down     error
	readOnly bool // patches are forbidden
	creates  int
	updates  int
	patches  int
}

func newCluster() *cluster {
	return &cluster{webhook: &admissionv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "lanyard-injector", ResourceVersion: "1"}, Webhooks: []admissionv1.MutatingWebhook{{Name: "inject.lanyard.dev"}},
	}, version: 1}
}

func (c *cluster) next() string { c.version++; return strconv.Itoa(c.version) }

type secrets struct{ *cluster }

var resource = schema.GroupResource{Resource: "secrets"}

func (s secrets) Get(_ context.Context, name string, _ metav1.GetOptions) (*corev1.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return nil, s.down
	}
	if s.secret == nil {
		return nil, apierrors.NewNotFound(resource, name)
	}
	return s.secret.DeepCopy(), nil
}

func (s secrets) Create(_ context.Context, secret *corev1.Secret, _ metav1.CreateOptions) (*corev1.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.secret != nil {
		return nil, apierrors.NewAlreadyExists(resource, secret.Name)
	}
	s.creates++
	s.secret = secret.DeepCopy()
	s.secret.ResourceVersion = s.next()
	return s.secret.DeepCopy(), nil
}

func (s secrets) Update(_ context.Context, secret *corev1.Secret, _ metav1.UpdateOptions) (*corev1.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.secret == nil || s.secret.ResourceVersion != secret.ResourceVersion {
		return nil, apierrors.NewConflict(resource, secret.Name, errors.New("changed"))
	}
	s.updates++
	s.secret = secret.DeepCopy()
	s.secret.ResourceVersion = s.next()
	return s.secret.DeepCopy(), nil
}

type webhooks struct{ *cluster }

func (w webhooks) Get(context.Context, string, metav1.GetOptions) (*admissionv1.MutatingWebhookConfiguration, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down != nil {
		return nil, w.down
	}
	return w.webhook.DeepCopy(), nil
}

func (w webhooks) Patch(_ context.Context, name string, _ types.PatchType, data []byte, _ metav1.PatchOptions, _ ...string) (*admissionv1.MutatingWebhookConfiguration, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.readOnly {
		return nil, apierrors.NewForbidden(resource, name, errors.New("no"))
	}
	before, err := json.Marshal(w.webhook)
	if err != nil {
		return nil, err
	}
	p, err := jsonpatch.DecodePatch(data)
	if err != nil {
		return nil, err
	}
	after, err := p.Apply(before)
	if err != nil {
		return nil, apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "patch", resource, name, err.Error(), 0, false)
	}
	w.patches++
	w.webhook = new(admissionv1.MutatingWebhookConfiguration)
	if err := json.Unmarshal(after, w.webhook); err != nil {
		return nil, err
	}
	w.webhook.ResourceVersion = w.next()
	return w.webhook.DeepCopy(), nil
}

func (c *cluster) source() *Source {
	return New(Config{Secrets: secrets{c}, Webhooks: webhooks{c}, SecretName: "lanyard-injector-ca", Webhook: "lanyard-injector", Host: host})
}

// set changes the cluster behind the sources' backs.
func (c *cluster) set(change func(*cluster)) { c.mu.Lock(); defer c.mu.Unlock(); change(c) }

func (c *cluster) bundle() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.webhook.Webhooks[0].ClientConfig.CABundle)
}

// verify checks a source's certificate as the API server does.
func (c *cluster) verify(t *testing.T, s *Source) *x509.Certificate {
	t.Helper()
	cert, err := s.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.bundle())
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, CurrentTime: time.Now()}); err != nil {
		t.Fatalf("at %s: %v", time.Now().Format(time.DateTime), err)
	}
	if err := s.Ready(); err != nil {
		t.Fatalf("at %s: not ready: %v", time.Now().Format(time.DateTime), err)
	}
	return cert.Leaf
}

// running runs n sources of one cluster in a synctest bubble.
func running(t *testing.T, c *cluster, n int, test func(t *testing.T, sources []*Source)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		sources := make([]*Source, n)
		for i := range sources {
			sources[i] = c.source()
			sources[i].cfg.Interval = interval
			wait.Go(func() { sources[i].Run(ctx) })
		}
		time.Sleep(4 * interval)
		synctest.Wait()
		test(t, sources)
		cancel()
		wait.Wait()
	})
}

func TestReplicasAgreeOnOneAuthority(t *testing.T) {
	c := newCluster()
	running(t, c, 3, func(t *testing.T, sources []*Source) {
		serials := make(map[string]bool)
		for _, s := range sources {
			serials[c.verify(t, s).SerialNumber.String()] = true
		}
		if c.creates != 1 || len(serials) != 3 {
			t.Errorf("%d secrets were created for %d leaves", c.creates, len(serials))
		}
	})
}

func TestNoCallFailsThroughTwoRotations(t *testing.T) {
	c := newCluster()
	running(t, c, 2, func(t *testing.T, sources []*Source) {
		leaves, bundles := make(map[string]bool), make(map[string]bool)
		for range 2 * 365 * 2 { // two years
			time.Sleep(12 * time.Hour)
			synctest.Wait()
			for _, s := range sources {
				leaves[c.verify(t, s).SerialNumber.String()] = true
			}
			bundles[string(c.bundle())] = true
		}
		if len(leaves) < 2*2*365/7 || len(leaves) > 2*2*365/3 {
			t.Errorf("%d leaves in two years", len(leaves))
		}
		if c.updates < 5 || len(bundles) < 4 {
			t.Errorf("%d updates of the secret, %d bundles", c.updates, len(bundles))
		}
		if _, err := parseKeyset(c.secret.Data); err != nil {
			t.Error(err)
		}
	})
}

func TestANewAuthorityIsPublishedBeforeItSigns(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	first, err := newAuthority(host, now)
	if err != nil {
		t.Fatal(err)
	}
	k := &keyset{current: first}
	step := func(at time.Time, inUse []byte) (moved bool) {
		t.Helper()
		k, moved, err = k.advance(host, inUse, at)
		if err != nil {
			t.Fatal(err)
		}
		return moved
	}
	if step(now.Add(200*24*time.Hour), k.bundle()) {
		t.Fatal("rotated before two thirds of the life")
	}
	due := now.Add(250 * 24 * time.Hour)
	if !step(due, k.bundle()) || k.next == nil || k.current != first {
		t.Fatal("no next authority")
	}
	if step(due.Add(overlap/2), k.bundle()) {
		t.Error("promoted before the overlap was over")
	}
	if step(due.Add(2*overlap), first.pem) {
		t.Error("promoted although the bundle in use does not hold it")
	}
	if !step(due.Add(2*overlap), k.bundle()) || k.previous == nil || k.previous.ca != nil || !bytes.Equal(k.previous.pem, first.pem) {
		t.Error("not promoted, or the old authority is not kept without its key")
	}
	if !step(first.cert.NotAfter, k.bundle()) || k.previous != nil {
		t.Error("the old authority is trusted beyond its life")
	}
}

func TestTheBundleIsRestoredWhenSomebodyResetsIt(t *testing.T) {
	c := newCluster()
	running(t, c, 1, func(t *testing.T, sources []*Source) {
		c.set(func(c *cluster) {
			c.webhook.Webhooks[0].ClientConfig.CABundle = nil
			c.webhook.ResourceVersion = c.next()
		})
		time.Sleep(4 * interval)
		synctest.Wait()
		c.verify(t, sources[0])

		c.set(func(c *cluster) { c.webhook.Webhooks[0].ClientConfig.CABundle = nil; c.readOnly = true })
		time.Sleep(4 * interval)
		if synctest.Wait(); !errors.Is(sources[0].Ready(), errBundle) {
			t.Errorf("ready with a foreign bundle: %v", sources[0].Ready())
		}
	})
}

func TestADeletedOrDamagedSecretIsReplaced(t *testing.T) {
	for name, damage := range map[string]func(*cluster){
		"deleted": func(c *cluster) { c.secret = nil },
		"emptied": func(c *cluster) { c.secret.Data = nil },
		"foreign key": func(c *cluster) {
			other, _ := newAuthority(host, time.Now())
			c.secret.Data = maps.Clone(c.secret.Data)
			c.secret.Data[keyCurrentKey], _ = other.ca.KeyPEM()
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster()
			running(t, c, 2, func(t *testing.T, sources []*Source) {
				before := c.verify(t, sources[0]).SerialNumber
				c.set(damage)
				time.Sleep(6 * interval)
				synctest.Wait()
				for _, s := range sources {
					if c.verify(t, s).SerialNumber.Cmp(before) == 0 {
						t.Error("the leaf of the lost authority is still served")
					}
				}
			})
		})
	}
}

func TestTheCertificateOutlivesTheAPIServer(t *testing.T) {
	c := newCluster()
	running(t, c, 1, func(t *testing.T, sources []*Source) {
		c.set(func(c *cluster) { c.down = errors.New("connection refused") })
		for range 60 {
			time.Sleep(24 * time.Hour)
			synctest.Wait()
			c.verify(t, sources[0])
		}
	})
}

func TestNothingIsServedBeforeTheBundleIsWritten(t *testing.T) {
	c := newCluster()
	c.readOnly = true
	running(t, c, 1, func(t *testing.T, sources []*Source) {
		if _, err := sources[0].GetCertificate(nil); err == nil || sources[0].Ready() == nil {
			t.Error("a certificate nobody trusts is served")
		}
	})
}

func TestTheAuthorityCanSignForTheWebhookOnly(t *testing.T) {
	ca, err := newAuthority(host, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.ca.Leaf([]string{"kubernetes.default.svc"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: "kubernetes.default.svc", Roots: roots}); err == nil {
		t.Error("a certificate for another service is trusted")
	}
}
