// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"net/http"
	"strings"
)

// ProblemBase is what the type of every [Problem] begins with; the [Code] follows, and a page for people stands there.
const ProblemBase = "https://lanyard.dev/problems/"

// Code is the kind of a [Problem]. It is an error, so that errors.Is(err, api.CodeNotFound) holds for a problem of that kind.
type Code string

func (c Code) Error() string { return string(c) }

// The codes. No code is ever removed or given another meaning; clients treat one they do not know by its status.
const (
	CodeNotFound             Code = "not-found"
	CodeMethodNotAllowed     Code = "method-not-allowed"
	CodeAlreadyExists        Code = "already-exists"
	CodePreconditionFailed   Code = "precondition-failed"
	CodePreconditionRequired Code = "precondition-required"
	CodeValidation           Code = "validation"
	CodeReferenced           Code = "referenced"
	CodeIdempotencyKeyReuse  Code = "idempotency-key-reuse"
	CodeLastOwner            Code = "last-owner"
	CodeLastAdministrator    Code = "last-administrator"
	CodeQuotaExceeded        Code = "quota-exceeded"
	CodeUnauthenticated      Code = "unauthenticated"
	CodeForbidden            Code = "forbidden"
	CodeTooLarge             Code = "too-large"
	CodeUnsupportedMediaType Code = "unsupported-media-type"
	CodeRateLimited          Code = "rate-limited"
	CodeUnavailable          Code = "unavailable"
	CodeAuditUnavailable     Code = "audit-unavailable"
	CodeKeyUnavailable       Code = "key-unavailable"
	CodeIntegrity            Code = "integrity"
	CodeInternal             Code = "internal"
)

// CodeInfo documents a code. docs/problems.md is generated from it.
type CodeInfo struct {
	Code    Code
	Status  int
	Title   string
	Meaning string
	Fix     string
}

// Codes is the whole catalogue.
var Codes = []CodeInfo{
	{CodeValidation, http.StatusUnprocessableEntity, "The request breaks a rule",
		"`errors` lists each field, the rule it breaks and what would be right. Nothing was changed.", "Correct the fields and send the request again."},
	{CodeIdempotencyKeyReuse, http.StatusUnprocessableEntity, "Idempotency key reused",
		"The caller sent this `Idempotency-Key` before, with another request. Nothing was done now.", "Send a new key with each new request, and the same key only with a repetition to the byte."},
	{CodeUnauthenticated, http.StatusUnauthorized, "No valid credential",
		"The request has no bearer token, or one that is unknown, expired or revoked. Which of these is not told.", "Send `Authorization: Bearer …` with a valid token."},
	{CodeForbidden, http.StatusForbidden, "Not allowed",
		"The caller is known and its role does not allow the operation.", "Ask an owner of the organization, or an administrator of the installation."},
	{CodeNotFound, http.StatusNotFound, "Not found",
		"The object does not exist, is deleted, or belongs to an organization the caller is not a member of. Which of these is not told to those who are not members.", "Check organization and name. A deleted secret must be undeleted before it can be changed."},
	{CodeMethodNotAllowed, http.StatusMethodNotAllowed, "Method not allowed",
		"The path exists, but not with this method. `Allow` lists those it has.", "See `/openapi.json`."},
	{CodeAlreadyExists, http.StatusConflict, "Already exists",
		"The name is taken. Deleted secrets keep their names.", "Change the object that exists, undelete it, or choose another name."},
	{CodeReferenced, http.StatusConflict, "Still in use",
		"Something uses the object; `references` lists all of it. Of an organization, `contents` says what is in it.", "Remove the references first, or delete a secret with `force=true`: its workloads then do not start."},
	{CodeLastOwner, http.StatusConflict, "Last owner",
		"The organization would be left without an owner. Nothing was changed.", "Make somebody else an owner first. An administrator of the installation may send `force=true`."},
	{CodeLastAdministrator, http.StatusConflict, "Last administrator",
		"The installation would be left without an administrator. Nothing was changed.", "Make somebody else an administrator first."},
	{CodeQuotaExceeded, http.StatusConflict, "Quota exceeded",
		"The organization would have more secrets, versions or bytes than an administrator of the installation allows; `detail` has the numbers. Deleted secrets count until they are purged. Nothing was changed.",
		"Delete what is not needed (destroying a version frees its bytes), or ask an administrator for a larger quota."},
	{CodePreconditionFailed, http.StatusPreconditionFailed, "Changed since you read it",
		"The object's ETag is none of those in `If-Match`. `changed_by` and `changed_at` say who changed it and when, `current_etag` what it is now. Nothing was changed.", "Read the object again, repeat your change on what it is now, and send it with the new ETag."},
	{CodePreconditionRequired, http.StatusPreconditionRequired, "An ETag is required",
		"This installation refuses changes without `If-Match`.", "Read the object and send its ETag as `If-Match`; `*` stands for any."},
	{CodeTooLarge, http.StatusRequestEntityTooLarge, "Request too large",
		"The body is longer than any valid one.", "A secret's value may have 65,536 bytes."},
	{CodeUnsupportedMediaType, http.StatusUnsupportedMediaType, "Not JSON",
		"The body's `Content-Type` is not `application/json`, its charset is not UTF-8, or it is compressed.", "Send `Content-Type: application/json`."},
	{CodeRateLimited, http.StatusTooManyRequests, "Too many requests",
		"Requests from this address, or of this caller from all addresses together, come too fast.", "Wait for the seconds in `Retry-After`."},
	{CodeUnavailable, http.StatusServiceUnavailable, "Store unavailable",
		"The store did not answer in time. A change that ends like this **may or may not have happened**.", "Read the object to learn what happened, then go on. Or repeat the request with the same `Idempotency-Key`: it is carried out once at most."},
	{CodeAuditUnavailable, http.StatusServiceUnavailable, "Audit log unavailable",
		"The act was not recorded, so it was not done: an audit sink (standard output, the audit file) refuses events or hangs.", "See which one in the registry's log and readiness: a full or hanging disk, or a log nobody reads. It recovers by itself."},
	{CodeKeyUnavailable, http.StatusServiceUnavailable, "Encryption key unavailable",
		"A key-encryption key that records were written with is missing from the registry.", "Restore the key in the key Secret; the registry's log and readiness name it. It recovers by itself."},
	{CodeIntegrity, http.StatusInternalServerError, "Stored record does not verify",
		"A record in the store is damaged or was written by somebody without the key. It is not used.", "Look up the request id in the registry's log, and restore the record from a backup."},
	{CodeInternal, http.StatusInternalServerError, "Internal error",
		"A defect of the registry.", "Report it with the request id; the registry's log has the cause under it."},
}

// Info returns the catalogue's entry of a code, or that of [CodeInternal] for a code that is not in it.
func (c Code) Info() CodeInfo {
	for _, info := range Codes {
		if info.Code == c {
			return info
		}
	}
	return Codes[len(Codes)-1]
}

// Code returns the code in the problem's type, "" if the type is not of the catalogue's form.
func (p *Problem) Code() Code {
	code, ok := strings.CutPrefix(p.Type, ProblemBase)
	if !ok {
		return ""
	}
	return Code(code)
}

// Is makes errors.Is compare a problem with a [Code].
func (p *Problem) Is(target error) bool {
	code, ok := target.(Code)
	return ok && p.Code() == code
}

// Error returns what a person needs on one line: title, detail, the fields, the references, and the request id.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(strings.ToLower(p.Title[:min(1, len(p.Title))]) + p.Title[min(1, len(p.Title)):])
	if p.Detail != nil {
		b.WriteString(": " + *p.Detail)
	}
	if p.Errors != nil {
		for _, e := range *p.Errors {
			where := e.Pointer
			if e.Parameter != nil {
				where = *e.Parameter
			}
			fmt.Fprintf(&b, "; %s: %s", where, e.Message)
		}
	}
	if p.References != nil {
		for _, r := range *p.References {
			fmt.Fprintf(&b, "; %s %s: %s", r.Kind, r.Name, r.Field)
		}
	}
	fmt.Fprintf(&b, " (request %s)", p.RequestID)
	return b.String()
}
