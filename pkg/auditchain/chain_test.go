// SPDX-License-Identifier: Apache-2.0

package auditchain_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-dev/lanyard/pkg/auditchain"
)

// lines makes a chain of n events.
func lines(n int) (out [][]byte, end auditchain.Position) {
	for i := range n {
		var l auditchain.Line
		l, end = end.Line("acme", fmt.Appendf(nil, `{"id":"%d","actor":"user:a\u0026b"}`, i+1))
		out = append(out, l.Append(nil))
	}
	return out, end
}

func verify(expect auditchain.Position, lines ...[]byte) auditchain.Report {
	v := auditchain.Verifier{Expect: expect}
	if err := v.Read("file", bytes.NewReader(bytes.Join(lines, nil))); err != nil {
		panic(err)
	}
	return v.Report()
}

func TestALineIsTheSameAfterReading(t *testing.T) {
	all, end := lines(3)
	if want := `{"chain":"acme","seq":1,"prev":"","hash":"`; !strings.HasPrefix(string(all[0]), want) {
		t.Errorf("first line is %s", all[0])
	}
	for _, raw := range all {
		l, err := auditchain.ParseLine(raw)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(raw) || !bytes.Equal(l.Append(nil), raw) {
			t.Errorf("line %s became %s", raw, l.Append(nil))
		}
	}
	read, err := auditchain.ParsePosition(end.String())
	if err != nil || read.Seq != 3 || !read.Hash.Equal(end.Hash) {
		t.Errorf("position %s became %s (%v)", end, read, err)
	}
	for _, text := range []string{"", "3", "3:", "0:" + end.Hash.String(), "x:" + end.Hash.String(), "3:abcd"} {
		if _, err := auditchain.ParsePosition(text); err == nil {
			t.Errorf("%q was taken for a position", text)
		}
	}
}

func TestWhatHappenedToAChainIsNamed(t *testing.T) {
	all, end := lines(6)
	swapped := bytes.Replace(all[2], []byte(`"id":"3"`), []byte(`"id":"x"`), 1)
	// remade is event 3 edited by somebody who knows how a hash is made.
	two, err := auditchain.ParseLine(all[1])
	if err != nil {
		t.Fatal(err)
	}
	line, _ := two.Position().Line("acme", []byte(`{"id":"x"}`))
	remade := line.Append(nil)
	// rewritten is a chain that was made anew from event 3 on.
	rewritten := [][]byte{all[0], all[1], remade}
	for p, i := line.Position(), 3; i < 6; i++ {
		var l auditchain.Line
		l, p = p.Line("acme", []byte(`{}`))
		rewritten = append(rewritten, l.Append(nil))
	}
	var foreign auditchain.Position
	other, _ := foreign.Line("other", []byte(`{}`))

	for name, tc := range map[string]struct {
		lines  [][]byte
		expect auditchain.Position
		want   []string // "<kind> <seq> line <line>"
	}{
		"nothing":                                {all, end, nil},
		"the beginning was dropped by retention": {all[2:], end, nil},
		"no events":                              {nil, auditchain.Position{}, nil},
		"an event was edited":                    {slices.Replace(slices.Clone(all), 2, 3, swapped), end, []string{"edited 3 line 3"}},
		"an event and its hash were edited":      {slices.Replace(slices.Clone(all), 2, 3, remade), end, []string{"edited 3 line 3"}},
		"the newest event was edited":            {slices.Replace(slices.Clone(all)[:3], 2, 3, swapped), auditchain.Position{}, []string{"edited 3 line 3"}},
		"one event was dropped":                  {slices.Delete(slices.Clone(all), 2, 3), end, []string{"dropped 3 line 3"}},
		"several events were dropped":            {slices.Delete(slices.Clone(all), 1, 4), end, []string{"dropped 2 line 2"}},
		"two events were swapped":                {[][]byte{all[0], all[2], all[1], all[3], all[4], all[5]}, end, []string{"reordered 2 line 3"}},
		"an event was moved to the end":          {[][]byte{all[0], all[2], all[3], all[4], all[5], all[1]}, end, []string{"reordered 2 line 6"}},
		"an event is there twice":                {[][]byte{all[0], all[1], all[1], all[2]}, auditchain.Position{}, []string{"reordered 2 line 3"}},
		"the end was dropped":                    {all[:4], end, []string{"dropped 5 line 4"}},
		"the end was made anew":                  {rewritten, end, []string{"edited 6 line 6"}},
		"a line was cut":                         {[][]byte{all[0], append(all[1][:40:40], '\n'), all[2], all[3]}, auditchain.Position{}, []string{"unreadable 2 line 2"}},
		"the last line is torn":                  {[][]byte{all[0], all[1][:len(all[1])-1]}, auditchain.Position{}, []string{"unreadable 2 line 2"}},
		"something else is in it":                {[][]byte{all[0], other.Append(nil), all[1]}, auditchain.Position{}, []string{"edited 1 line 2"}},
		"spaces were added":                      {[][]byte{all[0], bytes.Replace(all[1], []byte(","), []byte(", "), 1)}, auditchain.Position{}, []string{"unreadable 2 line 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, p := range verify(tc.expect, tc.lines...).Problems {
				got = append(got, fmt.Sprintf("%s %d line %d", p.Kind, p.Seq, p.Line))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryByteCounts(t *testing.T) {
	all, end := lines(6)
	whole := bytes.Join(all, nil)
	if r := verify(end, whole); !r.OK() || r.Events != 6 || r.First != 1 || !r.End.Hash.Equal(end.Hash) {
		t.Fatalf("the chain itself: %+v", r)
	}
	for i := range whole {
		for _, flip := range []byte{1, 0x20, 0x80} {
			edited := slices.Clone(whole)
			edited[i] ^= flip
			if verify(end, edited).OK() {
				t.Errorf("byte %d of line %d was changed and nothing found", i, bytes.Count(whole[:i], []byte("\n"))+1)
			}
		}
		if verify(end, whole[:i]).OK() {
			t.Errorf("%d bytes were cut off and nothing found", len(whole)-i)
		}
	}
}

func TestFilesOfOneChainFollowEachOther(t *testing.T) {
	all, end := lines(6)
	v := auditchain.Verifier{Expect: end}
	for name, part := range [][][]byte{all[:2], all[3:]} { // the file between them is missing
		if err := v.Read(fmt.Sprint(name), bytes.NewReader(bytes.Join(part, nil))); err != nil {
			t.Fatal(err)
		}
	}
	r := v.Report()
	if len(r.Problems) != 1 || r.Problems[0].String() != "1:1: event 3: dropped: it is missing" || r.Events != 5 {
		t.Errorf("got %+v", r)
	}
}

func TestAChainThatIsWrongThroughoutIsNotRemembered(t *testing.T) {
	r := verify(auditchain.Position{}, bytes.Repeat([]byte("{}\n"), 1000))
	if r.OK() || len(r.Problems) != 100 || r.More != 900 {
		t.Errorf("%d problems and %d more", len(r.Problems), r.More)
	}
	r = verify(auditchain.Position{}, bytes.Repeat([]byte("x"), 9<<20))
	if r.OK() {
		t.Error("a line without an end was accepted")
	}
}

func TestALineThatTellsItsHashWronglyIsStillRead(t *testing.T) {
	all, _ := lines(1)
	l, err := auditchain.ParseLine(bytes.Replace(all[0], []byte(`"id":"1"`), []byte(`"id":"2"`), 1))
	if !errors.Is(err, auditchain.ErrEdited) || l.Seq != 1 {
		t.Errorf("got %d, %v", l.Seq, err)
	}
}

func FuzzParseLine(f *testing.F) {
	all, _ := lines(2)
	for _, l := range all {
		f.Add(l)
	}
	f.Add([]byte(`{"chain":"","seq":1,"prev":"","hash":"","event":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if l, err := auditchain.ParseLine(raw); err == nil && !bytes.Equal(l.Append(nil), raw) {
			t.Errorf("%q was accepted, and is written as %q", raw, l.Append(nil))
		}
	})
}
