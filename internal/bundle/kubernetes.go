// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// parseKubernetes reads Secret manifests, in YAML documents or JSON, and what `kubectl get secrets -o yaml` prints. A key of two Secrets is refused like one
// that stands in data and in stringData.
func parseKubernetes(content []byte) ([]Item, error) {
	var l list
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	for document := 1; ; document++ {
		text, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) { // YAML reads JSON, but not its surrogate pairs
			text, err = yaml.YAMLToJSONStrict(text)
		}
		if err != nil { // its words may quote a value
			return nil, refuse("document %d is not valid YAML, or has a key twice", document)
		}
		if string(text) == "null" {
			continue
		}
		if err := l.addManifest(text); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(l.items, func(a, b Item) int { return strings.Compare(a.Name, b.Name) })
	return l.items, nil
}

func (l *list) addManifest(text []byte) error {
	var manifest struct {
		Kind       string            `json:"kind"`
		Items      []json.RawMessage `json:"items"`
		Data       json.RawMessage   `json:"data"`
		StringData json.RawMessage   `json:"stringData"`
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		return refuse("it is not a Kubernetes manifest")
	}
	switch manifest.Kind {
	case "Secret":
	case "List", "SecretList":
		for _, item := range manifest.Items {
			if err := l.addManifest(item); err != nil {
				return err
			}
		}
		return nil
	default:
		return refuse("it holds a manifest that is not of kind Secret")
	}
	if err := fields(manifest.Data, func(name, encoded string) error {
		value, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return refuse("data of %q is not base64", name)
		}
		return l.add(name, value, "")
	}); err != nil {
		return err
	}
	return fields(manifest.StringData, func(name, value string) error { return l.add(name, []byte(value), "") })
}

func fields(object json.RawMessage, visit func(name, value string) error) error {
	if len(object) == 0 || string(object) == "null" {
		return nil
	}
	return members(object, visit)
}
