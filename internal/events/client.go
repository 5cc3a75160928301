// SPDX-License-Identifier: Apache-2.0

package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// Client is the [API] of a cluster. REST may be of any group: paths are absolute.
type Client struct{ REST rest.Interface }

const path = "/apis/events.k8s.io/v1/namespaces"

// Create implements [API].
func (c Client) Create(ctx context.Context, e *eventsv1.Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding event: %w", err)
	}
	return answered("creating event", c.REST.Post().AbsPath(path, e.Namespace, "events").SetHeader("Content-Type", "application/json").Body(body).MaxRetries(0).Do(ctx))
}

// Patch implements [API].
func (c Client) Patch(ctx context.Context, namespace, name string, patch []byte) error {
	return answered("counting event", c.REST.Patch(types.MergePatchType).AbsPath(path, namespace, "events", name).Body(patch).MaxRetries(0).Do(ctx))
}

// answered keeps of an error what can be logged: client-go puts bodies it does not understand into its errors.
func answered(doing string, result rest.Result) error {
	err := result.Error()
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return nil
	case errors.As(err, &status):
		return fmt.Errorf("%s: the API server answered %d %s", doing, status.Status().Code, status.Status().Reason)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
