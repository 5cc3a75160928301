// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a new pseudo-terminal: what a person types into and sees, and what a program has as its standard input.
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	unlock, fd := 0, int(person.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, unlock); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

func echoes(t *testing.T, f *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// waitForSilence returns once the program has turned the echo off, which it does after it has written its question.
func waitForSilence(t *testing.T, f *os.File) {
	t.Helper()
	for echoes(t, f) {
		if t.Context().Err() != nil {
			t.Fatal("the echo was never turned off")
		}
	}
}

func TestSecretsAreNotEchoed(t *testing.T) {
	person, program := openTerminal(t)
	terminal := NewTerminal(program, program)
	answers := make(chan []byte, 1)
	go func() {
		answer, err := terminal.ReadLine(t.Context(), "Value: ", true)
		if err != nil {
			t.Error(err)
		}
		answers <- answer
	}()
	waitForSilence(t, program)
	if _, err := person.WriteString("canary\n"); err != nil {
		t.Fatal(err)
	}
	if answer := <-answers; string(answer) != "canary" {
		t.Errorf("read %q", answer)
	}
	if !echoes(t, program) {
		t.Error("the echo was left off")
	}
	seen := make([]byte, 256)
	n, err := person.Read(seen)
	if err != nil || bytes.Contains(seen[:n], []byte("canary")) || !bytes.Contains(seen[:n], []byte("Value: ")) {
		t.Errorf("the person saw %q, %v", seen[:n], err)
	}
}

func TestInterruptingAQuestionTurnsTheEchoOnAgain(t *testing.T) {
	_, program := openTerminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := NewTerminal(program, program).ReadLine(ctx, "Value: ", true)
		done <- err
	}()
	waitForSilence(t, program)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if !echoes(t, program) {
		t.Error("the echo was left off")
	}
}

func TestAFileIsNoTerminal(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if NewTerminal(f, f) != nil {
		t.Error("it was taken for one")
	}
}
