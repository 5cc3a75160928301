// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/lanyard-dev/lanyard/injector/mutate"
)

const (
	apiVersion = "admission.k8s.io/v1"
	kindReview = "AdmissionReview"
)

// review is the part of an AdmissionReview (admission.k8s.io/v1) that is read. The pod is decoded in the same pass, into the fields [mutate.Pod] names.
type review struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Request    *request `json:"request"`
}

type request struct {
	UID         string           `json:"uid"`
	Kind        groupVersionKind `json:"kind"`
	SubResource string           `json:"subResource"`
	Namespace   string           `json:"namespace"`
	Operation   string           `json:"operation"`
	DryRun      bool             `json:"dryRun"`
	Object      mutate.Pod       `json:"object"`
}

type groupVersionKind struct {
	Group   string `json:"group"`
	Version string `json:"version"`
	Kind    string `json:"kind"`
}

var errNotReview = errors.New("the body is not an AdmissionReview of " + apiVersion)

// decode reads a review. If only the pod in it cannot be read, the error comes with a request that has the UID to answer to.
func decode(body []byte) (*request, error) {
	var r review
	err := json.Unmarshal(body, &r)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return nil, fmt.Errorf("decoding admission review: %w", err)
	case r.APIVersion != apiVersion || r.Kind != kindReview || r.Request == nil || r.Request.UID == "":
		return nil, errNotReview
	case err != nil:
		return r.Request, fmt.Errorf("decoding admission review: %w", err)
	}
	return r.Request, nil
}

// createsPod reports whether the request creates a pod, which is all this webhook has an opinion on.
func (r *request) createsPod() bool {
	return r.Operation == "CREATE" && r.SubResource == "" && r.Kind == groupVersionKind{Version: "v1", Kind: "Pod"}
}

// status is the metav1.Status of a refusal. kubectl prints its message; the causes are for programs.
type status struct {
	Status  string   `json:"status"`
	Code    int      `json:"code"`
	Reason  string   `json:"reason"`
	Message string   `json:"message"`
	Details *details `json:"details,omitempty"`
}

type details struct {
	Causes []cause `json:"causes"`
}

type cause struct {
	Reason  mutate.Reason `json:"reason"`
	Message string        `json:"message"`
	Field   string        `json:"field,omitempty"`
}

// maxCauses bounds a refusal's size.
const maxCauses = 32

func refusal(plan *mutate.Plan) status {
	s := status{Status: "Failure", Code: http.StatusForbidden, Reason: "Forbidden", Message: plan.Message(), Details: &details{}}
	if plan.Reason.Info().Retryable {
		s.Code, s.Reason = http.StatusServiceUnavailable, "ServiceUnavailable"
	}
	for _, p := range plan.Problems[:min(len(plan.Problems), maxCauses)] {
		s.Details.Causes = append(s.Details.Causes, cause{Reason: p.Reason, Message: p.Detail, Field: p.Field})
	}
	return s
}

// appendResponse appends the AdmissionReview that answers a request.
func appendResponse(dst []byte, uid string, plan *mutate.Plan) []byte {
	dst = append(dst, `{"kind":"`+kindReview+`","apiVersion":"`+apiVersion+`","response":{"uid":`...)
	dst = appendJSON(dst, uid)
	if plan.Decision == mutate.Denied {
		dst = append(dst, `,"allowed":false,"status":`...)
		dst = appendJSON(dst, refusal(plan))
	} else {
		dst = append(dst, `,"allowed":true`...)
	}
	if plan.Patch != nil {
		dst = append(dst, `,"patchType":"JSONPatch","patch":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, plan.Patch)
		dst = append(dst, '"')
	}
	warnings := plan.Warnings
	if plan.Decision == mutate.Skipped {
		warnings = append(warnings, "lanyard: "+plan.Told())
	}
	if len(warnings) > 0 {
		dst = append(dst, `,"warnings":`...)
		dst = appendJSON(dst, warnings)
	}
	return append(dst, "}}\n"...)
}

func appendJSON(dst []byte, value any) []byte {
	text, err := json.Marshal(value)
	if err != nil { // strings and our own structs always marshal
		panic(err)
	}
	return append(dst, text...)
}
