// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// group makes cmd a parent that refuses to run alone. Cobra would print help and exit 0 for `lanyard secret lst`, which a script takes for success.
func group(cmd *cobra.Command, children ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(children...)
	cmd.SuggestionsMinimumDistance = 2
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		names := make([]string, 0, len(children))
		for _, child := range children {
			names = append(names, child.Name())
		}
		if len(args) == 0 {
			return misuse(fmt.Sprintf("`%s --help` tells more", cmd.CommandPath()), "a command is missing: %s", strings.Join(names, ", "))
		}
		hint := "commands: " + strings.Join(names, ", ")
		if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
			hint = fmt.Sprintf("did you mean %s?", strings.Join(similar, " or "))
		}
		return misuse(hint, "unknown command %q for %q", args[0], cmd.CommandPath())
	}
	return cmd
}

// arguments demands exactly as many arguments as the command's usage line names. What was given is not repeated: it may be a value in the wrong place.
func arguments(cmd *cobra.Command, args []string) error {
	want := 0
	for _, word := range strings.Fields(cmd.Use)[1:] {
		if strings.ToUpper(word) == word && !strings.HasPrefix(word, "[") {
			want++
		}
	}
	if len(args) == want {
		return nil
	}
	hint := ""
	if len(args) > want && cmd.Flags().Lookup("value-file") != nil {
		hint = "a value is no argument: give it with --value-file, where - is standard input, or at the prompt"
	}
	return misuse(hint, "usage: %s (%d arguments were given)", cmd.UseLine(), len(args))
}

// refusedFlag is a flag that exists to be refused with a reason. Its text is never repeated.
type refusedFlag struct{ why, hint string }

func (r *refusedFlag) String() string   { return "" }
func (r *refusedFlag) Type() string     { return "string" }
func (r *refusedFlag) Set(string) error { return misuse(r.hint, "%s", r.why) }

func refuse(flags *pflag.FlagSet, name, why, hint string) {
	flags.Var(&refusedFlag{why, hint}, name, "refused")
	flags.Lookup(name).Hidden = true
}

// flagError makes a usage error of pflag's, without what was given for the flag.
func flagError(err error) error {
	var (
		f       *failure
		invalid *pflag.InvalidValueError
		unknown *pflag.NotExistError
	)
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &invalid):
		return misuse("", "--%s takes a %s", invalid.GetFlag().Name, placeholder(invalid.GetFlag()))
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "": // the text holds everything after the dash
		return misuse("`--help` lists the flags", "unknown flag -%.1s", unknown.GetSpecifiedShortnames())
	}
	return misuse("`--help` lists the flags", "%w", err)
}

func placeholder(f *pflag.Flag) string {
	name, _ := pflag.UnquoteUsage(f)
	if name == "" {
		name = f.Value.Type()
	}
	return name
}
