// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/lanyard-dev/lanyard/injector/mutate"
	"github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/pkg/envfile"
	"github.com/lanyard-dev/lanyard/pkg/execfile"
	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// namesSource finds out what the injector would know of the consumers and secrets a pod names.
type namesSource func(pod *mutate.Pod) (*knownNames, error)

// namesSource reads --names, or asks the registry for each consumer and secret once.
func (a *app) namesSource(ctx context.Context, f injectFlags) (namesSource, error) {
	known := &knownNames{map[string]*wire.ConsumerNames{}, map[string]*wire.SecretNames{}}
	if f.names != "" {
		content, err := a.readFile(f.names, "--names", maxManifest)
		if err != nil {
			return nil, err
		}
		if err := known.read(content); err != nil {
			return nil, failed(Failure, "", fmt.Errorf("reading --names: %w", err))
		}
		return func(*mutate.Pod) (*knownNames, error) { return known, nil }, nil
	}
	connect := sync.OnceValues(func() (*asker, error) { // not before it is needed, and the token is read once
		client, err := a.client()
		return &asker{client, f.cluster, map[string]string{}}, err
	})
	return func(pod *mutate.Pod) (*knownNames, error) {
		for _, consumer := range consumersOf(pod) {
			err := ask(known.consumers, consumer.String(), connect, func(k *asker) (*wire.ConsumerNames, error) { return k.consumer(ctx, consumer) })
			if err != nil {
				return nil, err
			}
		}
		for _, secret := range secretsOf(pod) {
			err := ask(known.secrets, secret.Path(), connect, func(k *asker) (*wire.SecretNames, error) { return k.secret(ctx, secret) })
			if err != nil {
				return nil, err
			}
		}
		return known, nil
	}, nil
}

// read reads a list of consumers and secrets, which have grants.
func (k *knownNames) read(content []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(content, &list); err != nil {
		return err
	}
	for _, text := range list {
		var secret wire.SecretNames
		if err := json.Unmarshal(text, &secret); err != nil {
			return err
		}
		if secret.Grants != nil {
			k.secrets[secret.Ref] = &secret
			continue
		}
		var consumer wire.ConsumerNames
		if err := json.Unmarshal(text, &consumer); err != nil {
			return err
		}
		k.consumers[consumer.Ref] = &consumer
	}
	return nil
}

// ask asks for what is called name, unless it was asked for before. What does not exist is known not to: the planner says so, with the pod's field.
func ask[T any](known map[string]*T, name string, connect func() (*asker, error), read func(*asker) (*T, error)) error {
	if _, asked := known[name]; asked {
		return nil
	}
	k, err := connect()
	if err != nil {
		return err
	}
	names, err := read(k)
	if err != nil && codeOf(err) != NotFound {
		return err
	}
	known[name] = names
	return nil
}

// secretsOf is every secret that a pod which opted in refers to inline.
func secretsOf(pod *mutate.Pod) []ref.Secret {
	if pod.Metadata.Labels[podspec.LabelInject] != podspec.InjectTrue {
		return nil
	}
	return pod.InlineSecrets()
}

// consumersOf is every consumer that a pod which opted in names rightly. What is wrong with the others is the planner's to say.
func consumersOf(pod *mutate.Pod) (consumers []ref.Consumer) {
	if pod.Metadata.Labels[podspec.LabelInject] != podspec.InjectTrue {
		return nil
	}
	for key, text := range pod.Metadata.Annotations {
		if key != podspec.AnnotationConsumer && !strings.HasPrefix(key, podspec.AnnotationConsumerPrefix) {
			continue
		}
		if consumer, err := ref.ParseConsumer(text); err == nil {
			consumers = append(consumers, consumer)
		}
	}
	return consumers
}

// asker asks the registry for what its names stream tells the injector.
type asker struct {
	client    *api.Client
	cluster   string
	audiences map[string]string // :: provider id → audience of the pods' own tokens that it is read with, or ""
}

// consumer makes of the API's consumer what the names stream tells.
func (k *asker) consumer(ctx context.Context, consumer ref.Consumer) (*wire.ConsumerNames, error) {
	o, err := answer[api.Consumer](k.client.GetConsumer(ctx, consumer.Org, consumer.Name, nil))
	if err != nil {
		return nil, err
	}
	names := &wire.ConsumerNames{Ref: consumer.String()}
	names.Bindings = inCluster(o.body.Bindings, k.cluster)
	for _, d := range o.body.Deliveries {
		names.Deliveries = append(names.Deliveries, wire.Delivery(d))
	}
	for _, env := range o.body.Envs {
		name, audience, err := k.env(ctx, consumer.Org, env)
		if err != nil {
			return nil, err
		}
		names.Envs = append(names.Envs, name)
		if audience != "" {
			names.ProviderAudiences = append(names.ProviderAudiences, audience)
		}
	}
	slices.Sort(names.ProviderAudiences)
	names.ProviderAudiences = slices.Compact(names.ProviderAudiences)
	return names, nil
}

// env tells of an ENV which deliveries are known not to carry its current value, and what token the pod needs for it. Of missing secrets nothing is known.
func (k *asker) env(ctx context.Context, org string, env api.Env) (name wire.EnvName, audience string, err error) {
	name.Name = env.Name
	if env.Value != nil {
		value := []byte(*env.Value)
		name.NoEnvfile = rule(envfile.Check(env.Name, value), envfile.ErrUnrepresentable)
		name.NoExec = rule(execfile.Check(env.Name, value), execfile.ErrUnrepresentable)
		return name, "", nil
	}
	if env.Secret == nil {
		return name, "", nil
	}
	o, err := answer[api.Secret](k.client.GetSecret(ctx, org, *env.Secret, nil))
	switch {
	case codeOf(err) == NotFound:
		return name, "", nil
	case err != nil:
		return name, "", err
	}
	name.NoEnvfile, name.NoExec, audience, err = k.value(ctx, org, o.body, env.Version)
	return name, audience, err
}

// secret makes of the API's secret what the names stream tells.
func (k *asker) secret(ctx context.Context, secret ref.Secret) (*wire.SecretNames, error) {
	o, err := answer[api.Secret](k.client.GetSecret(ctx, secret.Org, secret.Name, nil))
	if err != nil {
		return nil, err
	}
	if o.body.DeletedAt != nil {
		return nil, nil //nolint:nilnil // it does not exist for pods
	}
	names := &wire.SecretNames{Ref: secret.Path(), Grants: inCluster(o.body.Grants, k.cluster)}
	names.NoEnvfile, names.NoExec, names.ProviderAudience, err = k.value(ctx, secret.Org, o.body, nil)
	return names, err
}

// value tells of a local secret which deliveries do not carry a version of it, the active one if number is nil; of a remote one the audience of the token that a pod needs.
func (k *asker) value(ctx context.Context, org string, secret api.Secret, number *uint64) (noEnvfile, noExec, audience string, err error) {
	if secret.ProviderID != nil {
		audience, err = k.audience(ctx, org, *secret.ProviderID)
		return "", "", audience, err
	}
	o, err := answer[api.VersionList](k.client.ListVersions(ctx, org, secret.ID))
	if codeOf(err) == NotFound {
		return "", "", "", nil
	}
	for _, v := range o.body.Items {
		if number != nil && *number == v.Number || number == nil && v.Active {
			noEnvfile, noExec = said(v.NoEnvfile), said(v.NoExec)
		}
	}
	return noEnvfile, noExec, "", err
}

// audience asks for each provider once.
func (k *asker) audience(ctx context.Context, org, provider string) (string, error) {
	if known, ok := k.audiences[provider]; ok {
		return known, nil
	}
	o, err := answer[api.Provider](k.client.GetProvider(ctx, org, provider, nil))
	if err != nil && codeOf(err) != NotFound {
		return "", err
	}
	k.audiences[provider] = said(o.body.PodAudience)
	return k.audiences[provider], nil
}

// inCluster are the bindings that are of the cluster.
func inCluster(bindings []api.Binding, cluster string) (of []wire.Binding) {
	for _, b := range bindings {
		if b.Cluster == nil || *b.Cluster == cluster {
			of = append(of, wire.Binding{Namespace: b.Namespace, ServiceAccount: b.ServiceAccount})
		}
	}
	return of
}

func said(why *string) string {
	if why == nil {
		return ""
	}
	return *why
}

// rule is what an error of a delivery says after what it wraps: the rule that was broken.
func rule(err, wrapped error) string {
	if err == nil {
		return ""
	}
	_, broken, _ := strings.Cut(err.Error(), wrapped.Error()+": ")
	return broken
}

// splitDocuments returns the YAML or JSON documents of a file, as JSON. Empty ones are left out.
func splitDocuments(content []byte) (documents []json.RawMessage, err error) {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	for {
		text, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, err
		}
		document, err := yaml.YAMLToJSON(text)
		if err != nil {
			return nil, err
		}
		if string(document) != "null" {
			documents = append(documents, document)
		}
	}
}
