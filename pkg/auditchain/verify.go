// SPDX-License-Identifier: Apache-2.0

package auditchain

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Kind is what happened to a chain.
type Kind string

// The kinds of problems.
const (
	Edited     Kind = "edited"     // an event, or what is told of its place
	Dropped    Kind = "dropped"    // events are missing
	Reordered  Kind = "reordered"  // an event comes after one that followed it, or twice
	Unreadable Kind = "unreadable" // not a line of a chain: cut, edited, or of something else
)

// Problem is one thing that is wrong with a chain. It quotes nothing of an event.
type Problem struct {
	Kind   Kind
	Source string // as given to Read
	Line   int    // in the source, from 1
	Seq    uint64 // of the event, or of the first one that is missing
	Detail string
}

func (p Problem) String() string {
	where := ""
	if p.Source != "" {
		where = fmt.Sprintf("%s:%d: ", p.Source, p.Line)
	}
	return fmt.Sprintf("%sevent %d: %s: %s", where, p.Seq, p.Kind, p.Detail)
}

const (
	// maxProblems bounds what is remembered of a chain that is wrong throughout.
	maxProblems = 100
	// maxLine is far above the largest event: a resolve of 16 containers with 256 ENVs each takes about 1 MiB.
	maxLine = 8 << 20
)

// Verifier checks the lines of one chain, in the order they are given. The zero value is ready for use, and not for concurrent use.
type Verifier struct {
	// Expect is a position that was noted before. If set, the chain must lead through it, unless it begins later.
	Expect Position

	source   string
	line     int
	events   uint64
	chain    string
	first    uint64
	end      Position // of the newest event
	at       int      // line of the newest event
	from     string   // source of the newest event
	blind    bool     // what came before cannot be compared: it was not readable
	missing  []gap
	expected bool // Expect was passed
	problems []Problem
	more     int // problems beyond maxProblems
}

// gap are missing events, first to last, that should be in front of a line.
type gap struct {
	first, last uint64
	source      string
	line        int
}

// Read checks the lines of r, which go on where those before ended. Source names them in problems. It returns an error only if r does: what is wrong with the
// chain is in [Verifier.Report].
func (v *Verifier) Read(source string, r io.Reader) error {
	v.source, v.line = source, 0
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	lines.Split(withBreak)
	for lines.Scan() {
		v.Add(lines.Bytes())
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		v.line++
		v.problem(Unreadable, v.line, v.end.Seq+1, "the line is longer than any event; nothing after it was read")
	} else if err != nil {
		return fmt.Errorf("reading audit chain: %w", err)
	}
	return nil
}

// withBreak is a [bufio.SplitFunc] whose lines keep their line break, so that a last line without one is told from a whole one.
func withBreak(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// Add checks one line, with its line break.
func (v *Verifier) Add(raw []byte) {
	v.line++
	l, err := ParseLine(raw)
	if errors.Is(err, ErrSyntax) {
		v.problem(Unreadable, v.line, v.end.Seq+1, "this is no line of an audit chain: it was cut or edited")
		if v.events > 0 {
			v.end.Seq++ // most likely it was that event
		}
		v.blind = true
		return
	}
	v.events++
	if v.Expect.Seq == l.Seq && v.Expect.Seq > 0 {
		v.expected = true
		if !v.Expect.Hash.Equal(l.Hash) {
			v.problem(Edited, v.line, l.Seq, "its hash is not the one that was noted: this event or one before it was edited")
		}
	}
	if err != nil {
		v.problem(Edited, v.line, l.Seq, ErrEdited.Error())
	}
	switch next := v.end.Seq + 1; {
	case v.first == 0:
		v.first, v.chain = l.Seq, l.Chain
	case l.Chain != v.chain:
		v.problem(Edited, v.line, l.Seq, "it belongs to another chain than those before")
		return
	case l.Seq < next:
		v.late(l)
		return
	case l.Seq > next:
		v.missing = append(v.missing, gap{next, l.Seq - 1, v.source, v.line})
	case !v.blind && !l.Prev.Equal(v.end.Hash):
		v.problemAt(Edited, v.from, v.at, v.end.Seq, "the event after it follows another one: it was replaced, or its hash was made anew")
	}
	v.end, v.at, v.from, v.blind = l.Position(), v.line, v.source, false
}

// late notes an event that comes after one that followed it.
func (v *Verifier) late(l Line) {
	for i, g := range v.missing {
		if l.Seq < g.first || l.Seq > g.last {
			continue
		}
		var rest []gap
		if g.first < l.Seq {
			rest = append(rest, gap{g.first, l.Seq - 1, g.source, g.line})
		}
		if l.Seq < g.last {
			rest = append(rest, gap{l.Seq + 1, g.last, g.source, g.line})
		}
		v.missing = slices.Replace(v.missing, i, i+1, rest...)
		v.problem(Reordered, v.line, l.Seq, fmt.Sprintf("it comes after event %d", v.end.Seq))
		return
	}
	v.problem(Reordered, v.line, l.Seq, fmt.Sprintf("it comes after event %d, and was there before, or is from before the beginning", v.end.Seq))
}

func (v *Verifier) problem(kind Kind, line int, seq uint64, detail string) {
	v.problemAt(kind, v.source, line, seq, detail)
}

func (v *Verifier) problemAt(kind Kind, source string, line int, seq uint64, detail string) {
	if len(v.problems) >= maxProblems {
		v.more++
		return
	}
	v.problems = append(v.problems, Problem{kind, source, line, seq, detail})
}

// Report is what a [Verifier] found.
type Report struct {
	Chain    string
	Events   uint64
	First    uint64   // sequence number of the oldest event; what was before it is not there to be checked
	End      Position // of the newest event
	Problems []Problem
	More     int // problems that are not listed, because there are so many
}

// OK reports whether nothing is wrong.
func (r Report) OK() bool { return len(r.Problems) == 0 }

// Report returns what was found in the lines so far, as if they were all.
func (v *Verifier) Report() Report {
	problems := slices.Clone(v.problems)
	for _, g := range v.missing {
		detail := "it is missing"
		if g.last > g.first {
			detail = fmt.Sprintf("it is missing, and all up to event %d", g.last)
		}
		problems = append(problems, Problem{Dropped, g.source, g.line, g.first, detail})
	}
	if v.Expect.Seq > v.end.Seq {
		problems = append(problems, Problem{Dropped, v.source, v.line, v.end.Seq + 1, fmt.Sprintf("the end is missing: event %d was noted", v.Expect.Seq)})
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Compare(a.Seq, b.Seq) })
	return Report{Chain: v.chain, Events: v.events, First: v.first, End: v.end, Problems: problems, More: v.more}
}
