// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Terminal is where a person answers questions.
type Terminal interface {
	// ReadLine shows prompt and returns the answer without its newline; with secret it is not echoed. It returns ctx's error when ctx ends first, with the
	// terminal as it was.
	ReadLine(ctx context.Context, prompt string, secret bool) ([]byte, error)
}

// NewTerminal returns the terminal that in is, with questions written to out, or nil if in is none.
func NewTerminal(in *os.File, out io.Writer) Terminal {
	if !term.IsTerminal(int(in.Fd())) {
		return nil
	}
	return &tty{in, out}
}

type tty struct {
	in  *os.File
	out io.Writer
}

func (t *tty) ReadLine(ctx context.Context, prompt string, secret bool) ([]byte, error) {
	fd := int(t.in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("reading the terminal's state: %w", err)
	}
	fmt.Fprint(t.out, prompt)
	type answer struct {
		text []byte
		err  error
	}
	// A read of a terminal cannot be interrupted. When ctx ends the goroutine is left behind: the process is about to exit.
	answered := make(chan answer, 1)
	go func() {
		if secret {
			text, err := term.ReadPassword(fd)
			answered <- answer{text, err}
			return
		}
		text, err := readLine(t.in)
		answered <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(t.out)
		return nil, errors.Join(ctx.Err(), term.Restore(fd, before))
	case a := <-answered:
		if secret {
			fmt.Fprintln(t.out)
		}
		if a.err != nil {
			return nil, fmt.Errorf("reading the answer: %w", a.err)
		}
		return a.text, nil
	}
}

// readLine reads up to a newline, byte by byte: what follows belongs to the next reader.
func readLine(r io.Reader) (line []byte, err error) {
	var b [1]byte
	for {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return line, err
		}
		if b[0] == '\n' {
			return line, nil
		}
		line = append(line, b[0])
	}
}

// confirmText asks for a word that nobody types by mistake. There is somebody to answer.
func (a *app) confirmText(ctx context.Context, want, question string) error {
	answer, err := a.Terminal.ReadLine(ctx, question, false)
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(answer)) != want {
		return failed(Failure, "", errors.New("not confirmed, so nothing was changed"))
	}
	return nil
}

// confirm asks before something is lost. Without a terminal, yes has to have been given.
func (a *app) confirm(ctx context.Context, yes bool, question string) error {
	if yes {
		return nil
	}
	if a.Terminal == nil {
		return misuse("give --yes to do it without being asked", "%s Nobody is there to answer: standard input is not a terminal", question)
	}
	answer, err := a.Terminal.ReadLine(ctx, question+" [y/N] ", false)
	if err != nil {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(string(answer))) {
	case "y", "yes":
		return nil
	}
	return failed(Failure, "", errors.New("not confirmed, so nothing was changed"))
}
