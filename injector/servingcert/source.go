// SPDX-License-Identifier: Apache-2.0

// Package servingcert gives the webhook a certificate the API server trusts, without cert-manager, a Job or a leader.
//
// The replicas share a CA in one Secret; whoever comes first creates it, and the API server's optimistic concurrency decides between two. Each replica signs
// a leaf of its own and keeps it in memory. The caBundle of the MutatingWebhookConfiguration is set to the CAs in the Secret before any of them signs: a
// new CA is published an hour ahead, and an old one stays until it expires. See docs/adr/0005-webhook-serving-certificate.md.
//
// Deleting the Secret revokes everything in it: the next look, within the interval, makes a new CA and the leaf that goes with it.
package servingcert

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Secrets is the namespace's Secrets, as far as they are needed.
type Secrets interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (*corev1.Secret, error)
	Create(ctx context.Context, secret *corev1.Secret, opts metav1.CreateOptions) (*corev1.Secret, error)
	Update(ctx context.Context, secret *corev1.Secret, opts metav1.UpdateOptions) (*corev1.Secret, error)
}

// Webhooks is the cluster's MutatingWebhookConfigurations, as far as they are needed.
type Webhooks interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (*admissionv1.MutatingWebhookConfiguration, error)
	Patch(ctx context.Context, name string, pt types.PatchType, data []byte, opts metav1.PatchOptions, subresources ...string) (*admissionv1.MutatingWebhookConfiguration, error)
}

// Config of a [Source]. Everything but Log and Interval is required.
type Config struct {
	Secrets    Secrets // of the injector's namespace
	Webhooks   Webhooks
	SecretName string
	Webhook    string // name of the MutatingWebhookConfiguration
	Host       string // name the API server checks: <service>.<namespace>.svc
	Log        *slog.Logger
	Interval   time.Duration // between two looks at both objects; zero means 10 s
}

type leaf struct {
	*tls.Certificate
	renew time.Time
}

// Source holds the certificate. Create it with [New] and run it with [Source.Run]; its other methods may be called at any time from any goroutine.
type Source struct {
	cfg    Config
	leaf   atomic.Pointer[leaf]
	health atomic.Pointer[error] // of the last look; nil before the first
	broken atomic.Bool           // the caBundle is known not to be ours, and could not be put right
	keys   *keyset               // last seen; owned by Run
}

// New returns a Source that has no certificate yet.
func New(cfg Config) *Source {
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	cfg.Interval = cmp.Or(cfg.Interval, 10*time.Second)
	return &Source{cfg: cfg}
}

var (
	errNotYet   = errors.New("no certificate yet")
	errExpired  = errors.New("the certificate has expired")
	errBundle   = errors.New("the webhook's caBundle does not hold our CA and could not be written")
	errConflict = errors.New("another replica was faster")
)

// GetCertificate is for [tls.Config]. It does not block.
func (s *Source) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if l := s.leaf.Load(); l != nil {
		return l.Certificate, nil
	}
	return nil, errNotYet
}

// Ready returns nil while a valid certificate is served that the last look found to be trusted through the webhook's caBundle. A look that could not reach
// the API server does not make a source unready that was ready: nothing suggests that the bundle changed, and the API server that cannot be reached is also
// the only client.
func (s *Source) Ready() error {
	l, health := s.leaf.Load(), s.health.Load()
	switch {
	case l == nil && health != nil && *health != nil:
		return *health
	case l == nil:
		return errNotYet
	case time.Now().After(l.Leaf.NotAfter):
		return errExpired
	case s.broken.Load():
		return errBundle
	}
	return nil
}

// Expiry returns when the served certificate expires; zero if there is none.
func (s *Source) Expiry() time.Time {
	if l := s.leaf.Load(); l != nil {
		return l.Leaf.NotAfter
	}
	return time.Time{}
}

// Run keeps the certificate valid and the caBundle complete until ctx is done. It looks at the clock on every turn, so that a renewal missed while the
// process was stopped is made up for.
func (s *Source) Run(ctx context.Context) {
	for {
		err := s.look(ctx, time.Now())
		if errors.Is(err, errConflict) {
			err = s.look(ctx, time.Now())
		}
		if ctx.Err() != nil {
			return
		}
		if last := s.health.Swap(&err); err != nil && (last == nil || *last == nil || (*last).Error() != err.Error()) {
			s.cfg.Log.Warn("looking after the serving certificate", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.cfg.Interval/2 + rand.N(s.cfg.Interval)):
		}
	}
}

// look is one turn: (1) read or create the keyset, (2) publish it, (3) advance it and publish again, (4) see to the leaf.
func (s *Source) look(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	secret, err := s.secret(ctx, now) // (1)
	if err != nil {
		return errors.Join(err, s.renew(now, s.keys)) // the API server is away: the CA we know still signs
	}
	inUse, err := s.publish(ctx, s.keys) // (2)
	if err != nil {
		return err
	}
	if next, moved, err := s.keys.advance(s.cfg.Host, inUse, now); err != nil { // (3)
		return err
	} else if moved {
		if err := s.store(ctx, secret, next); err != nil {
			return err
		}
		if _, err := s.publish(ctx, next); err != nil {
			return err
		}
		s.keys = next
	}
	return s.renew(now, s.keys) // (4)
}

// secret reads the Secret into s.keys, and creates it if there is none or if nobody can read it.
func (s *Source) secret(ctx context.Context, now time.Time) (*corev1.Secret, error) {
	secret, err := s.cfg.Secrets.Get(ctx, s.cfg.SecretName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return s.create(ctx, now)
	}
	if err != nil {
		return nil, fmt.Errorf("reading CA secret: %w", err)
	}
	keys, err := parseKeyset(secret.Data)
	if err != nil {
		// A Secret that the chart made empty, or one that was damaged: there is nothing in it to lose.
		s.cfg.Log.Warn("replacing an unreadable CA secret", "err", err)
		fresh, err := newAuthority(s.cfg.Host, now)
		if err != nil {
			return nil, err
		}
		keys = &keyset{current: fresh}
		if err := s.store(ctx, secret, keys); err != nil {
			return nil, err
		}
	}
	s.keys = keys
	return secret, nil
}

func (s *Source) create(ctx context.Context, now time.Time) (*corev1.Secret, error) {
	fresh, err := newAuthority(s.cfg.Host, now)
	if err != nil {
		return nil, err
	}
	keys := &keyset{current: fresh}
	data, err := keys.data()
	if err != nil {
		return nil, err
	}
	secret, err := s.cfg.Secrets.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: s.cfg.SecretName, Labels: map[string]string{"app.kubernetes.io/managed-by": "lanyard-injector"}},
		Type:       corev1.SecretTypeOpaque, Data: data,
	}, metav1.CreateOptions{})
	switch {
	case apierrors.IsAlreadyExists(err):
		return nil, errConflict
	case err != nil:
		return nil, fmt.Errorf("creating CA secret: %w", err)
	}
	s.cfg.Log.Info("created the webhook's CA", "not_after", fresh.cert.NotAfter)
	s.keys = keys
	return secret, nil
}

// store writes keys over the Secret as it was read, and updates secret to what was written.
func (s *Source) store(ctx context.Context, secret *corev1.Secret, keys *keyset) error {
	data, err := keys.data()
	if err != nil {
		return err
	}
	changed := secret.DeepCopy()
	changed.Data = data
	stored, err := s.cfg.Secrets.Update(ctx, changed, metav1.UpdateOptions{})
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return errConflict
	case err != nil:
		return fmt.Errorf("writing CA secret: %w", err)
	}
	*secret = *stored
	s.cfg.Log.Info("advanced the webhook's CA", "not_after", keys.current.cert.NotAfter, "next", keys.next != nil, "previous", keys.previous != nil)
	return nil
}

// renew signs a new leaf if there is none, if its time has come, or if its CA is trusted no more.
func (s *Source) renew(now time.Time, keys *keyset) error {
	if keys == nil {
		return nil
	}
	if l := s.leaf.Load(); l != nil && now.Before(l.renew) && keys.trusts(l) {
		return nil
	}
	cert, err := keys.current.ca.Leaf([]string{s.cfg.Host}, now)
	if err != nil {
		return err
	}
	life := cert.Leaf.NotAfter.Sub(now)
	s.leaf.Store(&leaf{Certificate: cert, renew: now.Add(life*2/3 - rand.N(life/10+1))})
	s.cfg.Log.Info("signed a serving certificate", "not_after", cert.Leaf.NotAfter)
	return nil
}

// publish makes the caBundle of every webhook in the configuration that of keys, and returns what is in use then.
func (s *Source) publish(ctx context.Context, keys *keyset) ([]byte, error) {
	have, err := s.cfg.Webhooks.Get(ctx, s.cfg.Webhook, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading webhook configuration: %w", err)
	}
	bundle := keys.bundle()
	patch, err := bundlePatch(have, bundle)
	s.broken.Store(err != nil)
	if err != nil || patch == nil {
		return bundle, err
	}
	if _, err := s.cfg.Webhooks.Patch(ctx, s.cfg.Webhook, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: "lanyard-injector"}); err != nil {
		if apierrors.IsConflict(err) || apierrors.IsInvalid(err) {
			return nil, errConflict // changed since it was read: its test operations did not hold
		}
		s.broken.Store(true)
		return nil, fmt.Errorf("writing caBundle: %w", err)
	}
	s.cfg.Log.Info("published the webhook's CA bundle", "certificates", bytes.Count(bundle, []byte("BEGIN CERTIFICATE")))
	return bundle, nil
}
