// SPDX-License-Identifier: Apache-2.0

package output

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

func table[T any](p Printer, v View[T], items []T) error {
	w := tabwriter.NewWriter(p.Out, 0, 0, 3, ' ', 0)
	var columns []Column[T]
	for _, c := range v.Columns {
		if !c.Wide || p.Format.name == "wide" {
			columns = append(columns, c)
		}
	}
	row := make([]string, len(columns))
	if !p.NoHeaders {
		for i, c := range columns {
			row[i] = c.Header
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	for _, item := range items {
		for i, c := range columns {
			row[i] = cmp.Or(Printable(c.Cell(item)), "-")
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// Printable is text with everything that could move a terminal's cursor, change its colours or break a row written as an escape.
func Printable(text string) string {
	if strings.IndexFunc(text, unprintable) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unprintable(r) {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func unprintable(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }

// Time is how times look in tables: to the second, in UTC, the same for everybody.
func Time(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// OptionalTime is [Time], or nothing.
func OptionalTime(t *time.Time) string {
	if t == nil {
		return ""
	}
	return Time(*t)
}

// Text is what a pointer holds, or nothing.
func Text[T any](p *T) string {
	if p == nil {
		return ""
	}
	return fmt.Sprint(*p)
}
