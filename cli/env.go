// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

func newEnvs(a *app) *cobra.Command {
	return group(&cobra.Command{Use: "env", Short: "Set and unset a consumer's ENVs"}, setEnv(a), unsetEnv(a))
}

func setEnv(a *app) *cobra.Command {
	var (
		secret, plain, plainFile string
		version                  uint64
		only                     condition
	)
	cmd := &cobra.Command{
		Use: "set CONSUMER ENV", Short: "Set one ENV of a consumer to a secret or a plain value", Args: arguments, PreRunE: a.checkOutput, ValidArgsFunction: a.completeConsumers,
		Long: `Set one ENV of a consumer to a secret, or to a plain value. The consumer's other ENVs stay as they are.

A plain value is configuration, not a secret: it is stored as it is and everybody who may see the consumer can read it. That is why it may be an argument.`,
		Example: `  lanyard consumer env set billing STRIPE_API_KEY --secret stripe-api-key
  lanyard consumer env set billing MODE --plain live`,
		RunE: func(cmd *cobra.Command, args []string) error {
			env := api.Env{Name: args[1], Secret: nonzero(secret), Version: nonzero(version), Value: optional(cmd.Flags(), "plain", plain)}
			if version != 0 && secret == "" {
				return misuse("", "--version is about --secret")
			}
			if plainFile != "" {
				content, err := a.readFile(plainFile, "--plain-file", wire.MaxValueBytes)
				if err != nil {
					return err
				}
				text := string(content)
				env.Value = &text
			}
			o, err := editConsumer(cmd, a, args[0], only, func(current api.Consumer) (api.ConsumerUpdate, error) {
				envs := slices.Clone(current.Envs)
				if i := slices.IndexFunc(envs, func(e api.Env) bool { return e.Name == env.Name }); i >= 0 {
					envs[i] = env
				} else {
					envs = append(envs, env)
				}
				return api.ConsumerUpdate{Envs: &envs}, nil
			})
			if err != nil {
				return err
			}
			return changed(a, consumerView, o, "has "+args[1]+" set")
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&secret, "secret", "", "`name` or id of the secret")
	flags.Uint64Var(&version, "version", 0, "`number` of a version to pin; the active one otherwise")
	flags.StringVar(&plain, "plain", "", "plain `text`, readable by everybody who may see the consumer")
	flags.StringVar(&plainFile, "plain-file", "", "`file` with the plain text, to the byte; - for standard input")
	cmd.MarkFlagsMutuallyExclusive("secret", "plain", "plain-file")
	cmd.MarkFlagsOneRequired("secret", "plain", "plain-file")
	refuse(flags, "value", "whether it is a secret has to be said", "for a secret: `lanyard secret put`, then --secret; for configuration that everybody may read: --plain")
	only.register(cmd)
	return cmd
}

func unsetEnv(a *app) *cobra.Command {
	var only condition
	cmd := &cobra.Command{
		Use: "unset CONSUMER ENV", Short: "Take one ENV out of a consumer", Args: arguments, PreRunE: a.checkOutput, ValidArgsFunction: a.completeConsumers,
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := editConsumer(cmd, a, args[0], only, func(current api.Consumer) (api.ConsumerUpdate, error) {
				envs := slices.Clone(current.Envs)
				i := slices.IndexFunc(envs, func(e api.Env) bool { return e.Name == args[1] })
				if i < 0 {
					return api.ConsumerUpdate{}, failed(NotFound, "", fmt.Errorf("consumer %s has no ENV %s", current.Name, args[1]))
				}
				envs = slices.Delete(envs, i, i+1)
				return api.ConsumerUpdate{Envs: &envs}, nil
			})
			if err != nil {
				return err
			}
			return changed(a, consumerView, o, "has "+args[1]+" no longer")
		},
	}
	only.register(cmd)
	return cmd
}

// defaultCluster is the cluster of a registry that serves one.
const defaultCluster = "default"

// bindingFlags name one service account.
type bindingFlags struct{ cluster, namespace, account string }

func (b *bindingFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&b.namespace, "namespace", "n", "", "`namespace` of the pods")
	flags.StringVar(&b.account, "service-account", "", "`name` of the pods' service account")
	flags.StringVar(&b.cluster, "cluster", "", "`name` of the cluster; the registry's own otherwise")
	errs := errors.Join(cmd.MarkFlagRequired("namespace"), cmd.MarkFlagRequired("service-account"))
	if errs != nil { // the flags are the ones above
		panic(errs)
	}
}

func (b *bindingFlags) binding() api.Binding {
	return api.Binding{Cluster: nonzero(b.cluster), Namespace: b.namespace, ServiceAccount: b.account}
}

// is reports whether have is the binding; without --cluster any cluster's.
func (b *bindingFlags) is(have api.Binding) bool {
	return have.Namespace == b.namespace && have.ServiceAccount == b.account && (b.cluster == "" || have.Cluster != nil && *have.Cluster == b.cluster)
}

func bindConsumer(a *app) *cobra.Command {
	var (
		b    bindingFlags
		only condition
	)
	cmd := &cobra.Command{
		Use: "bind CONSUMER", Short: "Let the pods of a service account claim a consumer", Args: arguments, PreRunE: a.checkOutput, ValidArgsFunction: a.completeConsumers,
		Long:    "Let the pods of exactly one service account claim a consumer. Binding it again changes nothing.",
		Example: "  lanyard consumer bind billing --namespace billing --service-account api",
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := editConsumer(cmd, a, args[0], only, func(current api.Consumer) (api.ConsumerUpdate, error) {
				bindings := append(slices.Clone(current.Bindings), b.binding())
				return api.ConsumerUpdate{Bindings: &bindings}, nil
			})
			if isDuplicate(err, "/bindings/") { // only the registry knows which cluster is meant without --cluster
				return a.say("consumer/%s may be claimed by %s/%s already", args[0], b.namespace, b.account)
			}
			if err != nil {
				return err
			}
			return changed(a, consumerView, o, "may be claimed by "+b.namespace+"/"+b.account)
		},
	}
	b.register(cmd)
	only.register(cmd)
	return cmd
}

// isDuplicate reports whether the registry refused an element of a list because it is there already.
func isDuplicate(err error, list string) bool {
	var f *failure
	if !errors.As(err, &f) || f.problem == nil || f.problem.Errors == nil {
		return false
	}
	return slices.ContainsFunc(*f.problem.Errors, func(e api.FieldProblem) bool {
		return e.Code == "duplicate" && strings.HasPrefix(e.Pointer, list)
	})
}

func unbindConsumer(a *app) *cobra.Command {
	var (
		b    bindingFlags
		only condition
	)
	cmd := &cobra.Command{
		Use: "unbind CONSUMER", Short: "Take that right away again", Args: arguments, PreRunE: a.checkOutput, ValidArgsFunction: a.completeConsumers,
		Long: "Take the right to claim a consumer away. Running pods keep what they have. Without --cluster it is taken away in every cluster.",
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := editConsumer(cmd, a, args[0], only, func(current api.Consumer) (api.ConsumerUpdate, error) {
				left := slices.DeleteFunc(slices.Clone(current.Bindings), b.is)
				if len(left) == len(current.Bindings) {
					return api.ConsumerUpdate{}, failed(NotFound, "", fmt.Errorf("consumer %s has no such binding", current.Name))
				}
				return api.ConsumerUpdate{Bindings: &left}, nil
			})
			if err != nil {
				return err
			}
			return changed(a, consumerView, o, "may no longer be claimed by "+b.namespace+"/"+b.account)
		},
	}
	b.register(cmd)
	only.register(cmd)
	return cmd
}
