// SPDX-License-Identifier: Apache-2.0

// Command probe is the test image: a pod's view from inside, without a shell.
// Without arguments, which is how a pod that sets no command runs it, it prints
// its environment and serves until SIGTERM.
//
//	probe                        print the environment, then serve on :8080
//	probe print                  print the environment and exit
//	probe exit CODE              print the environment and exit so
//	probe files DIR              print the files of a directory as if they were ENVs, then wait
//	probe show DIR               print them and exit
//	probe follow DIR             print them, and again for every SIGHUP and every POST to :8080/reload
//	probe write FILE LINE...     write lines to a file, mode 0444
//	probe get URL                print the status and body of an HTTP response
//	probe api METHOD PATH [BODY] call the API server with the pod's own token
//
// The environment is printed as one line of JSON, name → base64 of the value, so
// that any byte survives. HTTP: /env answers the same, /healthz answers "ok".
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "probe: error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) == 0 {
		return serve(ctx, ":8080", stdout)
	}
	switch command, args := args[0], args[1:]; {
	case command == "print" && len(args) == 0:
		return printEnv(stdout)
	case command == "exit" && len(args) == 1:
		code, err := strconv.Atoi(args[0])
		if err == nil {
			err = printEnv(stdout)
		}
		if err == nil {
			os.Exit(code)
		}
		return err
	case command == "files" && len(args) == 1:
		if err := printFiles(args[0], stdout); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	case command == "show" && len(args) == 1:
		return printFiles(args[0], stdout)
	case command == "follow" && len(args) == 1:
		return follow(ctx, args[0], ":8080", stdout)
	case command == "write" && len(args) >= 1:
		return os.WriteFile(args[0], []byte(strings.Join(args[1:], "\n")+"\n"), 0o444)
	case command == "get" && len(args) == 1:
		return get(ctx, args[0], stdout)
	case command == "api" && (len(args) == 2 || len(args) == 3):
		return callAPI(ctx, args[0], args[1], strings.Join(args[2:], ""), stdout)
	default:
		return errors.New("unknown arguments")
	}
}
