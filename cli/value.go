// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// valueFlags say where a value comes from.
type valueFlags struct {
	file     string
	generate string
	trim     bool
}

const valueHelp = `
The value comes from --value-file (- is standard input), from --generate, or, on a terminal, from a prompt without echo. It may hold any bytes, up to
64 KiB, and is kept to the byte: a newline at the end of a file or of standard input is part of it unless --trim-newline is given. It is never printed.`

func (v *valueFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&v.file, "value-file", "", "`file` with the value, - for standard input")
	flags.StringVar(&v.generate, "generate", "", "let the registry make a random value of this `length[:charset]`; charsets are alphanumeric (default), ascii, base64url, digits and hex")
	flags.BoolVar(&v.trim, "trim-newline", false, "leave out one newline (LF or CR LF) at the end of the value file")
	cmd.MarkFlagsMutuallyExclusive("value-file", "generate")
	refuse(flags, "value", "a value on the command line can be read by every process of this machine and stays in the shell's history",
		"give it with --value-file, where - is standard input, or at the prompt")
	cmd.Long += "\n" + valueHelp
}

func (v *valueFlags) given() bool { return v.file != "" || v.generate != "" }

// content returns what a request says of the value: its bytes, or how the registry is to make it.
func (v *valueFlags) content(ctx context.Context, a *app, what string) (value *string, random *api.Generate, err error) {
	if v.generate != "" {
		random, err = v.random()
		return nil, random, err
	}
	read, err := v.read(ctx, a, what)
	if err != nil {
		return nil, nil, err
	}
	return encoded(read), nil, nil
}

// random parses --generate.
func (v *valueFlags) random() (*api.Generate, error) {
	if v.trim {
		return nil, misuse("", "--trim-newline is about --value-file")
	}
	text, name, _ := strings.Cut(v.generate, ":")
	charset := api.Charset(name)
	if name == "" || name == "alnum" {
		charset = api.CharsetAlphanumeric
	}
	if !charset.Valid() {
		return nil, misuse("", "--generate: the charset must be one of alphanumeric, ascii, base64url, digits, hex")
	}
	length, err := strconv.Atoi(text)
	if err != nil || length < 1 || length > wire.MaxValueBytes {
		return nil, misuse("", "--generate: the length must be a number up to %d", wire.MaxValueBytes)
	}
	return &api.Generate{Length: &length, Charset: &charset}, nil
}

// read returns the value, asking for it on a terminal. what names it in the question.
func (v *valueFlags) read(ctx context.Context, a *app, what string) (redact.Value, error) {
	switch {
	case v.trim && v.file == "":
		return redact.Value{}, misuse("", "--trim-newline is about --value-file")
	case v.file != "":
		return v.fromFile(a, "--value-file")
	case a.Terminal == nil:
		return redact.Value{}, misuse("give it with --value-file, where - is standard input, or with --generate", "a value is missing, and standard input is not a terminal to ask at")
	}
	first, err := a.Terminal.ReadLine(ctx, "Value of "+what+": ", true)
	if err != nil {
		return redact.Value{}, err
	}
	again, err := a.Terminal.ReadLine(ctx, "The same again: ", true)
	if err != nil {
		return redact.Value{}, err
	}
	if !bytes.Equal(first, again) {
		return redact.Value{}, failed(Failure, "", errors.New("the two differ, so nothing was changed"))
	}
	return sized(first)
}

// fromFile reads the file that from, a flag or field, names.
func (v *valueFlags) fromFile(a *app, from string) (redact.Value, error) {
	content, err := a.readFile(v.file, from, wire.MaxValueBytes+2) // of which two may be trimmed
	if err != nil {
		return redact.Value{}, err
	}
	if v.trim {
		if trimmed, found := bytes.CutSuffix(content, []byte("\n")); found {
			content = bytes.TrimSuffix(trimmed, []byte("\r"))
		}
	}
	return sized(content)
}

func sized(content []byte) (redact.Value, error) {
	if len(content) > wire.MaxValueBytes {
		return redact.Value{}, failed(Failure, "", errors.New("a value may have 65536 bytes"))
	}
	return redact.New(content), nil
}

// encoded is a value as a request carries it: base64 takes any bytes through JSON unchanged.
func encoded(v redact.Value) *string {
	text := base64.StdEncoding.EncodeToString(v.Reveal())
	return &text
}
