// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
)

// operation is one of a JSON Patch.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// bundlePatch returns the JSON Patch that gives every webhook of the configuration the bundle, or nil if they have it. Nothing but caBundle is touched, so
// that Helm or a GitOps controller keeps owning the rest; the test operation makes the patch fail if the configuration has changed since.
func bundlePatch(have *admissionv1.MutatingWebhookConfiguration, bundle []byte) ([]byte, error) {
	if len(have.Webhooks) == 0 {
		return nil, errors.New("the webhook configuration has no webhooks")
	}
	ops := []operation{{Op: "test", Path: "/metadata/resourceVersion", Value: have.ResourceVersion}}
	if have.ResourceVersion == "" {
		ops = nil // only fakes do not count versions
	}
	guards := len(ops)
	for i := range have.Webhooks {
		if !bytes.Equal(have.Webhooks[i].ClientConfig.CABundle, bundle) {
			ops = append(ops, operation{Op: "add", Path: fmt.Sprintf("/webhooks/%d/clientConfig/caBundle", i), Value: bundle})
		}
	}
	if len(ops) == guards {
		return nil, nil
	}
	patch, err := json.Marshal(ops)
	if err != nil {
		return nil, fmt.Errorf("encoding caBundle patch: %w", err)
	}
	return patch, nil
}
