// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
	"github.com/lanyard-dev/lanyard/pkg/api"
)

// report tells a person what went wrong: the error, what the registry said of fields and references, and what to do.
func report(w io.Writer, name string, err error) {
	fmt.Fprintf(w, "%s: error: %s\n", name, output.Printable(err.Error()))
	var f *failure
	if !errors.As(err, &f) {
		return
	}
	if p := f.problem; p != nil {
		reportFields(w, p)
		if p.References != nil {
			fmt.Fprintln(w)
			printer := output.Printer{Out: w}
			if err := output.List(printer, referenceView, *p.References); err != nil {
				return // stderr is gone
			}
			fmt.Fprintln(w)
		}
		if p.Contents != nil {
			fmt.Fprintln(w)
			reportContents(w, *p.Contents)
			fmt.Fprintln(w)
		}
		if p.RequestID != "" {
			fmt.Fprintf(w, "  request id: %s\n", output.Printable(p.RequestID))
		}
	}
	if f.hint != "" {
		fmt.Fprintf(w, "%s: hint: %s\n", name, f.hint)
	}
}

func reportFields(w io.Writer, p *api.Problem) {
	if p.Errors == nil {
		return
	}
	for _, e := range *p.Errors {
		fmt.Fprintf(w, "  %s: %s [%s]\n", output.Printable(e.Pointer), output.Printable(e.Message), output.Printable(e.Code))
	}
}

// problemMessage is the first line for a refusal. Fields follow on their own lines, so a detail that only repeats one is left out.
func problemMessage(p *api.Problem) string {
	name := p.Type[strings.LastIndexByte(p.Type, '/')+1:]
	message := p.Title
	if p.Detail != nil && (p.Errors == nil || len(*p.Errors) == 0) {
		message += ": " + *p.Detail
	}
	return fmt.Sprintf("%s [%s]", message, name)
}

// problemHint is what to do about a refusal, where the registry's own words do not say it.
func problemHint(p *api.Problem) string {
	name := p.Type[strings.LastIndexByte(p.Type, '/')+1:]
	switch name {
	case "unauthenticated":
		return "log in again with `lanyard login`, or check LANYARD_TOKEN and --token-file"
	case "forbidden":
		return "`lanyard whoami` shows whose token it is"
	case "referenced":
		if p.Contents != nil {
			return "`org delete --yes --force` deletes the organization with everything in it"
		}
		if p.References != nil {
			return "remove the references first; `secret delete --force` deletes a secret all the same, and what refers to it fails at its next start"
		}
	case "precondition-failed":
		if p.CurrentEtag != nil {
			return fmt.Sprintf("look at it again, then repeat with --if-match '%s'", output.Printable(*p.CurrentEtag))
		}
	case "rate-limited", "unavailable":
		return "try again in a few seconds"
	case "audit-unavailable":
		return "nothing was changed; the registry's readiness says which audit sink is broken, and `lanyard doctor` shows it"
	case "key-unavailable", "integrity", "internal":
		return "the registry's log has more under this request id"
	}
	return ""
}
