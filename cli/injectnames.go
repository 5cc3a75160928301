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

// namesSource finds out what the injector would know of the consumers a pod names.
type namesSource func(pod *mutate.Pod) (mutate.Names, error)

// namesSource reads --names, or asks the registry for each consumer once.
func (a *app) namesSource(ctx context.Context, f injectFlags) (namesSource, error) {
	known := namesMap{}
	if f.names != "" {
		content, err := a.readFile(f.names, "--names", maxManifest)
		if err != nil {
			return nil, err
		}
		var list []*wire.ConsumerNames
		if err := json.Unmarshal(content, &list); err != nil {
			return nil, failed(Failure, "", fmt.Errorf("reading --names: %w", err))
		}
		for _, names := range list {
			if names != nil {
				known[names.Ref] = names
			}
		}
		return func(*mutate.Pod) (mutate.Names, error) { return known, nil }, nil
	}
	connect := sync.OnceValues(a.client) // not before it is needed, and the token is read once
	return func(pod *mutate.Pod) (mutate.Names, error) {
		for _, consumer := range consumersOf(pod) {
			if _, asked := known[consumer.String()]; asked {
				continue
			}
			client, err := connect()
			if err != nil {
				return nil, err
			}
			names, err := askNames(ctx, client, consumer, f.cluster)
			if codeOf(err) == NotFound {
				continue // the planner says so, with the pod's field
			}
			if err != nil {
				return nil, err
			}
			known[consumer.String()] = names
		}
		return known, nil
	}, nil
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

// askNames makes of the API's consumer what the names stream tells the injector.
func askNames(ctx context.Context, client *api.Client, consumer ref.Consumer, cluster string) (*wire.ConsumerNames, error) {
	o, err := answer[api.Consumer](client.GetConsumer(ctx, consumer.Org, consumer.Name, nil))
	if err != nil {
		return nil, err
	}
	names := &wire.ConsumerNames{Ref: consumer.String()}
	for _, b := range o.body.Bindings {
		if b.Cluster == nil || *b.Cluster == cluster {
			names.Bindings = append(names.Bindings, wire.Binding{Namespace: b.Namespace, ServiceAccount: b.ServiceAccount})
		}
	}
	for _, env := range o.body.Envs {
		name, err := askName(ctx, client, consumer.Org, env)
		if err != nil {
			return nil, err
		}
		names.Envs = append(names.Envs, name)
	}
	return names, nil
}

// askName tells of an ENV which deliveries are known not to carry its current value. Of remote and missing secrets nothing is known.
func askName(ctx context.Context, client *api.Client, org string, env api.Env) (wire.EnvName, error) {
	name := wire.EnvName{Name: env.Name}
	if env.Value != nil {
		value := []byte(*env.Value)
		name.NoEnvfile = rule(envfile.Check(env.Name, value), envfile.ErrUnrepresentable)
		name.NoExec = rule(execfile.Check(env.Name, value), execfile.ErrUnrepresentable)
		return name, nil
	}
	if env.Secret == nil {
		return name, nil
	}
	o, err := answer[api.VersionList](client.ListVersions(ctx, org, *env.Secret))
	if codeOf(err) == NotFound {
		return name, nil
	}
	for _, v := range o.body.Items {
		if env.Version != nil && *env.Version == v.Number || env.Version == nil && v.Active {
			name.NoEnvfile, name.NoExec = said(v.NoEnvfile), said(v.NoExec)
		}
	}
	return name, err
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
