// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
)

// show prints an object that was read.
func show[T any](a *app, view output.View[T], o object[T]) error {
	printer, err := a.printer()
	if err != nil {
		return err
	}
	return output.One(printer, view, o.body, o.etag)
}

// showList prints a list that was read.
func showList[T any](a *app, view output.View[T], items []T) error {
	printer, err := a.printer()
	if err != nil {
		return err
	}
	return output.List(printer, view, items)
}

// showDone prints how far something came that may have ended with err, which it returns.
func showDone[T any](a *app, view output.View[T], items []T, err error) error {
	if shown := showList(a, view, items); err == nil {
		err = shown
	}
	return err
}

// changed tells that an object was changed: in a line, or as the object itself if a format was asked for.
func changed[T any](a *app, view output.View[T], o object[T], verb string) error {
	if a.flags.output != "" {
		return show(a, view, o)
	}
	return a.say("%s/%s %s", view.Kind, view.Name(o.body), verb)
}

// say prints a line of result.
func (a *app) say(format string, args ...any) error {
	_, err := fmt.Fprintln(a.Out, output.Printable(fmt.Sprintf(format, args...)))
	return err
}

// checkOutput refuses a wrong --output before anything is changed, not after.
func (a *app) checkOutput(*cobra.Command, []string) error {
	_, err := a.printer()
	return err
}

// optional is nil unless the flag was given.
func optional[T any](flags *pflag.FlagSet, name string, value T) *T {
	if !flags.Changed(name) {
		return nil
	}
	return &value
}

// nonzero is nil for the zero value.
func nonzero[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

// condition is --if-match.
type condition struct{ etag string }

func (c *condition) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.etag, "if-match", "", "change it only if this is its `ETag` still, as -o etag prints it")
}

func (c *condition) header() *string { return nonzero(c.etag) }

// maxEdits bounds how often an edit is repeated on top of somebody else's.
const maxEdits = 5

// edit reads an object and changes it, with the ETag it was read with, so that nothing written in between is lost; then it begins again. If the caller named
// an ETag, there is one try with that.
func edit[T any](c condition, read func() (object[T], error), write func(current T, ifMatch *string) (object[T], error)) (object[T], error) {
	for try := 1; ; try++ {
		current, err := read()
		if err != nil {
			return current, err
		}
		ifMatch := nonzero(current.etag)
		if c.etag != "" {
			ifMatch = c.header()
		}
		next, err := write(current.body, ifMatch)
		var f *failure
		lost := errors.As(err, &f) && f.problem != nil && f.problem.Status == http.StatusPreconditionFailed
		if !lost || c.etag != "" || try == maxEdits {
			return next, err
		}
	}
}

// metadata is what secrets and consumers have in common.
type metadata struct {
	name         string
	description  string
	labels       []string
	removeLabels []string
}

func (m *metadata) register(cmd *cobra.Command, update bool) {
	flags := cmd.Flags()
	flags.StringVar(&m.description, "description", "", "what it is for")
	flags.StringArrayVar(&m.labels, "label", nil, "label as `key=value`; repeatable")
	if update {
		flags.StringVar(&m.name, "name", "", "new `name`")
		flags.StringArrayVar(&m.removeLabels, "remove-label", nil, "`key` of a label to remove; repeatable")
	}
}

// applied is labels with the changes, or nil if there are none.
func (m *metadata) applied(labels map[string]string) (*map[string]string, error) {
	if len(m.labels)+len(m.removeLabels) == 0 {
		return nil, nil
	}
	next := maps.Clone(labels)
	if next == nil {
		next = map[string]string{}
	}
	for _, pair := range m.labels {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, misuse("", "--label takes key=value")
		}
		next[key] = value
	}
	for _, key := range m.removeLabels {
		delete(next, key)
	}
	return &next, nil
}

// filter is what lists are narrowed by.
type filter struct {
	search string
	labels []string
	limit  int
}

func (f *filter) register(cmd *cobra.Command, labels bool) {
	cmd.Flags().StringVarP(&f.search, "search", "q", "", "only those whose name contains this `text`")
	cmd.Flags().IntVar(&f.limit, "limit", 0, "print at most this `number`; 0 for all")
	if labels {
		cmd.Flags().StringArrayVarP(&f.labels, "label", "l", nil, "only those with this label, `key=value`; repeatable, all must match")
	}
}

func (f *filter) labelQuery() *[]string {
	if len(f.labels) == 0 {
		return nil
	}
	return &f.labels
}
