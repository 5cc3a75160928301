// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/internal/bundle"
	"github.com/lanyard-dev/lanyard/pkg/api"
)

func newRun(a *app) *cobra.Command {
	var (
		consumer string
		envFiles []string
		inside   bool
		job      jobFlags
	)
	cmd := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARG...]",
		Short: "Run a command with a consumer's ENVs: here with your own values, or in the cluster",
		Long: `Run a command that wants the ENVs of a consumer.

Without --in-cluster it runs here, with values of your own: from your environment and from --env-file, which wins. The registry is asked only which ENVs the consumer declares; those that
refer to secrets must all be there, else nothing is run and the missing ones are named. Plain values of the consumer, which are no secrets, are used where you have none. No value of a secret is
ever fetched: nobody can. The command takes this process's place, so signals, the terminal and the exit code are its own; LANYARD_TOKEN is kept from it.

With --in-cluster nothing is run either: a Job is printed that ` + "`kubectl create -f -`" + ` runs, with the label and the annotation by which its pod receives the consumer's real values, as any pod
does. The consumer must be bound to the service account. The pod passes the Pod Security Standard "restricted", so that it never runs as root.`,
		Example: `  lanyard run --consumer acme/billing --env-file .env -- go test ./...
  lanyard run --in-cluster --consumer acme/billing -n billing --serviceaccount api --image registry.example/billing:1.4 -- /migrate up | kubectl create -f -`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return misuse("", "a command is missing: %s", cmd.UseLine())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			org, c, err := a.consumerOf(cmd, consumer)
			if err != nil {
				return err
			}
			if inside {
				return a.printJob(job, org, c, args)
			}
			local, err := a.localValues(envFiles)
			if err != nil {
				return err
			}
			env, err := environment(a.Environ, local, c)
			if err != nil {
				return err
			}
			return a.become(args, env)
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false) // what follows the command's name is the command's
	flags.StringVar(&consumer, "consumer", "", "the `consumer`, <organization>/<name>, or its name in the organization of --org")
	flags.StringArrayVar(&envFiles, "env-file", nil, "a .env `file` with your own values, - for standard input; of several, later ones win")
	flags.BoolVar(&inside, "in-cluster", false, "print a Job that runs the command in the cluster, with the real values")
	job.register(flags)
	for _, name := range jobFlagNames {
		cmd.MarkFlagsMutuallyExclusive("env-file", name)
	}
	cmd.MarkFlagsMutuallyExclusive("env-file", "in-cluster")
	if err := cmd.MarkFlagRequired("consumer"); err != nil { // the flag is the one above
		panic(err)
	}
	return cmd
}

// consumerOf returns a consumer, and how its organization was named.
func (a *app) consumerOf(cmd *cobra.Command, name string) (org string, c api.Consumer, err error) {
	org, short, whole := strings.Cut(name, "/")
	if whole {
		a.flags.organization, name = org, short
	}
	client, org, err := a.tenant()
	if err != nil {
		return "", c, err
	}
	o, err := answer[api.Consumer](client.GetConsumer(cmd.Context(), org, name, nil))
	return org, o.body, err
}

// localValues are those of the files, the last one of each name.
func (a *app) localValues(files []string) (map[string]string, error) {
	local := make(map[string]string)
	for _, file := range files {
		content, err := a.readFile(file, "--env-file", bundle.MaxBytes)
		if err != nil {
			return nil, err
		}
		items, err := bundle.Parse(content, bundle.Dotenv)
		if err != nil {
			return nil, failed(Failure, "", fmt.Errorf("--env-file: %w", err))
		}
		for _, item := range items {
			value := string(item.Value.Reveal())
			if strings.ContainsRune(value, 0) {
				return nil, failed(Failure, "", fmt.Errorf("--env-file: %s: its value holds a NUL, which no ENV can", item.Name))
			}
			local[item.Name] = value
		}
	}
	return local, nil
}

// environment is what the command sees: base, local over it, and the consumer's plain values under both. The error names the ENVs without a value.
func environment(base []string, local map[string]string, c api.Consumer) ([]string, error) {
	have := make(map[string]bool, len(base)+len(local))
	env := make([]string, 0, len(base)+len(local))
	for _, pair := range base {
		name, _, _ := strings.Cut(pair, "=")
		if _, replaced := local[name]; replaced || name == "LANYARD_TOKEN" {
			continue
		}
		have[name] = true
		env = append(env, pair)
	}
	for name, value := range local {
		have[name] = true
		env = append(env, name+"="+value)
	}
	var missing []string
	for _, e := range c.Envs {
		switch {
		case have[e.Name]:
		case e.Value != nil:
			env = append(env, e.Name+"="+*e.Value)
		default:
			missing = append(missing, e.Name)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return nil, failed(CheckFailed, "put values of your own into a file for --env-file, or export them", fmt.Errorf("consumer %s declares ENVs that have no value here: %s", c.Name, strings.Join(missing, ", ")))
	}
	slices.Sort(env)
	return env, nil
}

// become replaces this process by a command. It returns only if that failed.
func (a *app) become(args, env []string) error {
	if a.Exec == nil {
		return failed(Failure, "", errors.New("commands cannot be run here"))
	}
	path, err := exec.LookPath(args[0])
	switch {
	case errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist):
		return failed(NoCommand, "", errors.New("the command was not found"))
	case err == nil:
		err = a.Exec(path, args, env)
	}
	return failed(Unrunnable, "", fmt.Errorf("running the command: %w", err))
}
