// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Outcome is what became of stopping a pod.
type Outcome string

// The outcomes.
const (
	Stopped          Outcome = "stopped"           // it is being deleted; its controller starts another
	WouldStop        Outcome = "would_stop"        // a dry run found nothing against it
	Gone             Outcome = "gone"              // it is gone, or going already
	DisruptionBudget Outcome = "disruption_budget" // a PodDisruptionBudget does not allow it now
	NoController     Outcome = "no_controller"     // nothing would start another
	Forbidden        Outcome = "forbidden"         // the registry may not stop pods of this namespace
	OtherCluster     Outcome = "other_cluster"     // it is in a cluster that this registry does not reach
	Failed           Outcome = "failed"            // the API server did not do it
)

// Outcomes is the catalogue, with what a person is told.
var Outcomes = map[Outcome]string{
	Stopped:          "It is being stopped; its controller starts another.",
	WouldStop:        "Nothing stands against it.",
	Gone:             "It is gone or going already.",
	DisruptionBudget: "A PodDisruptionBudget does not allow it now. Try again when the pods before it are back, or force it.",
	NoController:     "It has no controller that would start another. Force it if it may end for good.",
	Forbidden:        "The registry may not stop pods of this namespace. The chart's registry.stopWorkloads.namespaces lists those it may.",
	OtherCluster:     "It is in a cluster that this registry does not reach.",
	Failed:           "The API server did not do it. The registry's log has more under this request id.",
}

// Auditor keeps records, as audit.Log does.
type Auditor interface {
	Record(ctx context.Context, events ...audit.Event) error
}

// Stopper stops pods, so that what they received is replaced at once. The registry's own service account needs the permission in each namespace.
type Stopper struct {
	Cluster *Cluster
	Name    string // of the cluster
	Pods    Pods
	Audit   Auditor
	Log     *slog.Logger // nil discards
}

// StopOptions say how a pod is stopped.
type StopOptions struct {
	// Force deletes the pod instead of evicting it, against disruption budgets and although nothing may start another.
	Force bool
	// DryRun has the API server check everything and do nothing.
	DryRun bool
}

// Stop evicts a pod, the one with this very uid, and does not wait for its end. The act is audited before it is done; if that fails nothing is done, and the
// error is the audit log's. Whatever else fails is an outcome.
func (s *Stopper) Stop(ctx context.Context, act store.Act, w store.Workload, o StopOptions) (Outcome, error) {
	if w.Cluster != s.Name {
		return OtherCluster, nil
	}
	p := store.Pod{Namespace: w.Namespace, Name: w.Pod, UID: w.ID}
	pod, err := s.Pods.Pod(ctx, p.Namespace, p.Name)
	switch {
	case apierrors.IsNotFound(err):
		return Gone, nil
	case err != nil:
		return s.failed(ctx, act, p, err), nil
	case string(pod.UID) != p.UID, pod.DeletionTimestamp != nil, pod.Status.Phase == corev1.PodSucceeded, pod.Status.Phase == corev1.PodFailed:
		return Gone, nil
	case !o.Force && metav1.GetControllerOf(pod) == nil:
		return NoController, nil
	}
	if !o.DryRun {
		if err := s.Audit.Record(ctx, stopEvent(act, w, o)); err != nil {
			return "", fmt.Errorf("recording that a pod is stopped: %w", err)
		}
	}
	if err := s.Cluster.stop(ctx, p, o); err != nil {
		return s.failed(ctx, act, p, err), nil
	}
	if o.DryRun {
		return WouldStop, nil
	}
	return Stopped, nil
}

func stopEvent(act store.Act, w store.Workload, o StopOptions) audit.Event {
	e := audit.Event{
		ID: uuid.Must(uuid.NewV7()).String(), Time: time.Now().UTC().Truncate(time.Millisecond), RequestID: act.RequestID, Actor: act.Actor, SourceIP: act.SourceIP,
		OrgID: w.OrgID, Action: audit.WorkloadStop, Outcome: audit.Allowed,
		ResourceKind: "pod", ResourceID: w.ID, ResourceName: w.Namespace + "/" + w.Pod,
		Workload: &audit.Workload{Cluster: w.Cluster, Namespace: w.Namespace, ServiceAccount: w.ServiceAccount, Pod: w.Pod, PodUID: w.ID, Node: w.Node},
	}
	if o.Force {
		e.Reason = "forced"
	}
	return e
}

// failed says which outcome an error is, and logs what an operator may have to act on.
func (s *Stopper) failed(ctx context.Context, act store.Act, p store.Pod, err error) Outcome {
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err): // of that name, or of that uid
		return Gone
	case apierrors.HasStatusCause(err, policyv1.DisruptionBudgetCause):
		return DisruptionBudget
	case apierrors.IsForbidden(err):
		return Forbidden
	}
	if s.Log != nil {
		s.Log.WarnContext(ctx, "pod not stopped", "request_id", act.RequestID, "namespace", p.Namespace, "pod", p.Name, "err", withoutBody(err))
	}
	return Failed
}

// stop evicts or deletes the pod with that uid.
func (c *Cluster) stop(ctx context.Context, p store.Pod, o StopOptions) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	options := metav1.DeleteOptions{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "DeleteOptions"}, Preconditions: metav1.NewUIDPreconditions(p.UID)}
	if o.DryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	path := []string{"/api/v1/namespaces", p.Namespace, "pods", p.Name}
	if o.Force {
		return c.send(ctx, "DELETE", path, options)
	}
	options.TypeMeta = metav1.TypeMeta{}
	return c.send(ctx, "POST", append(path, "eviction"), policyv1.Eviction{
		TypeMeta: metav1.TypeMeta{APIVersion: "policy/v1", Kind: "Eviction"}, ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name}, DeleteOptions: &options,
	})
}

func (c *Cluster) send(ctx context.Context, method string, path []string, object any) error {
	body, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("encoding request: %w", err)
	}
	return c.client.Verb(method).AbsPath(path...).SetHeader("Content-Type", "application/json").Body(body).MaxRetries(0).Do(ctx).Error()
}
