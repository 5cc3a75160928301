// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// converse is an application at a terminal: it tells what terminal that is, echoes a line, and waits for Ctrl-C.
func converse() int {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, syscall.SIGINT)
	for fd := range 3 {
		size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		if err != nil {
			fmt.Println("no terminal:", err)
			return 1
		}
		fmt.Println("stream", fd, "is a terminal of", size.Col, "columns")
	}
	foreground, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
	session, sessionErr := unix.Getsid(0)
	fmt.Println("in the foreground:", err == nil && foreground == unix.Getpgrp())
	fmt.Println("leads the session:", sessionErr == nil && session == os.Getpid())
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	fmt.Printf("read %q, %v\n", line, err)
	<-interrupts
	fmt.Println("interrupted")
	return 7
}

// terminal returns both ends of a new terminal.
func terminal(t *testing.T) (screen, tty *os.File) {
	t.Helper()
	open := func(path string) *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	screen = open("/dev/ptmx")
	connection, err := screen.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	var failure error
	if err := connection.Control(func(fd uintptr) {
		if failure = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); failure != nil {
			return
		}
		if failure = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 132}); failure != nil {
			return
		}
		number, failure = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
	}); err != nil || failure != nil {
		t.Fatal(err, failure)
	}
	return screen, open("/dev/pts/" + strconv.Itoa(number))
}

func TestExecKeepsTheTerminal(t *testing.T) {
	_, program := tool(t)
	eachWrap(t, "a conversation", func(t *testing.T, wrap wrap) {
		l := launch{program: program, argv: []string{program}, env: []string{actVariable + "=converse"}, values: map[string]string{"KEY": "value"}}
		var seen [2]string
		for i, cmd := range []*exec.Cmd{l.plain(t), wrap(l, t)} {
			screen, tty := terminal(t)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			_ = tty.Close()
			var shown strings.Builder
			lines := bufio.NewReader(io.TeeReader(screen, &shown))
			answer := func(to, with string) {
				t.Helper()
				for {
					line, err := lines.ReadString('\n')
					if err != nil {
						t.Fatalf("%v after %q", err, shown.String())
					}
					if strings.HasPrefix(line, to) {
						break
					}
				}
				if _, err := io.WriteString(screen, with); err != nil {
					t.Fatal(err)
				}
			}
			answer("leads the session", "typed\n")
			answer("read", "\x03")
			_, _ = io.Copy(io.Discard, lines) // until the last process at the terminal is gone, which is EIO
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 7 {
				t.Errorf("exit code %d after %q", code, shown.String())
			}
			seen[i] = shown.String()
		}
		if seen[0] != seen[1] || !strings.Contains(seen[0], "leads the session: true") || !strings.Contains(seen[0], "in the foreground: true") {
			t.Errorf("at the terminal stood\n%q\nand with the agent\n%q", seen[0], seen[1])
		}
	})
}
