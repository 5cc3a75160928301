// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

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
	flags.StringVar(&v.generate, "generate", "", "generate a random value of this `length[:charset]`; charsets are alnum (default), ascii, base64url, digits and hex")
	flags.BoolVar(&v.trim, "trim-newline", false, "leave out one newline (LF or CR LF) at the end of the value file")
	cmd.MarkFlagsMutuallyExclusive("value-file", "generate")
	refuse(flags, "value", "a value on the command line can be read by every process of this machine and stays in the shell's history",
		"give it with --value-file, where - is standard input, or at the prompt")
	cmd.Long += "\n" + valueHelp
}

func (v *valueFlags) given() bool { return v.file != "" || v.generate != "" }

// read returns the value, asking for it on a terminal. what names it in the question.
func (v *valueFlags) read(ctx context.Context, a *app, what string) (redact.Value, error) {
	switch {
	case v.trim && v.file == "":
		return redact.Value{}, misuse("", "--trim-newline is about --value-file")
	case v.generate != "":
		return generate(v.generate)
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

const (
	digits = "0123456789"
	letter = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// charsets hold no quote, backslash, dollar, backtick or blank: what is generated passes through shells, URLs' query strings and env files.
var charsets = map[string]string{ // :: name → characters
	"alnum":     digits + letter,
	"ascii":     digits + letter + "!#%&()*+,-./:;<=>?@[]^_{|}~",
	"base64url": digits + letter + "-_",
	"digits":    digits,
	"hex":       "0123456789abcdef",
}

// generate makes a value of "length[:charset]", each character with the same probability.
func generate(spec string) (redact.Value, error) {
	lengthText, name, named := strings.Cut(spec, ":")
	if !named {
		name = "alnum"
	}
	characters, known := charsets[name]
	if !known {
		return redact.Value{}, misuse("", "--generate: the charset must be one of %s", strings.Join(slices.Sorted(maps.Keys(charsets)), ", "))
	}
	length, err := strconv.Atoi(lengthText)
	if err != nil || length < 8 || length > wire.MaxValueBytes {
		return redact.Value{}, misuse("", "--generate: the length must be a number from 8 to %d", wire.MaxValueBytes)
	}
	value := make([]byte, 0, length)
	fair := 256 - 256%len(characters) // bytes from here on would favour the first characters
	random := make([]byte, 256)
	for len(value) < length {
		rand.Read(random)
		for _, b := range random {
			if int(b) < fair && len(value) < length {
				value = append(value, characters[int(b)%len(characters)])
			}
		}
	}
	return redact.New(value), nil
}
