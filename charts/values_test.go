// SPDX-License-Identifier: Apache-2.0

package charts

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A value is one documented key of values.yaml: a scalar, a list, a map without keys of its own, or the resources of a container.
type value struct {
	path    []string
	comment string
	node    *yaml.Node
}

func (v value) String() string { return strings.Join(v.path, ".") }

func readValues(t testing.TB) []value {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(chartDir, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(raw, &root); err != nil {
		t.Fatal(err)
	}
	var values []value
	var walk func(path []string, comment string, n *yaml.Node)
	walk = func(path []string, comment string, n *yaml.Node) {
		if n.Kind != yaml.MappingNode || len(n.Content) == 0 || path != nil && path[len(path)-1] == "resources" {
			values = append(values, value{path, comment, n})
			return
		}
		for i := 0; i < len(n.Content); i += 2 {
			own := strings.Join(strings.Fields(strings.ReplaceAll(n.Content[i].HeadComment, "#", " ")), " ")
			walk(append(slices.Clone(path), n.Content[i].Value), own, n.Content[i+1])
		}
	}
	walk(nil, "", root.Content[0])
	return values
}

// A schema is a node of values.schema.json, its $ref followed.
type schema map[string]any

func readSchema(t testing.TB) schema {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(chartDir, "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func (root schema) follow(s schema) schema {
	ref, ok := s["$ref"].(string)
	if !ok {
		return s
	}
	definitions := root["$defs"].(map[string]any)
	merged := maps.Clone(schema(definitions[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)))
	maps.Copy(merged, s)
	return merged
}

func (root schema) at(path ...string) (schema, bool) {
	s := root
	for _, key := range path {
		properties, _ := s["properties"].(map[string]any)
		next, ok := properties[key].(map[string]any)
		if !ok {
			return nil, false
		}
		s = root.follow(next)
	}
	return s, true
}

func TestEveryValueIsDocumentedAndInTheSchema(t *testing.T) {
	root := readSchema(t)
	listed := map[string]bool{}
	for _, v := range readValues(t) {
		listed[v.String()] = true
		if v.comment == "" {
			t.Errorf("values.yaml: %s has no comment", v)
		}
		if _, ok := root.at(v.path...); !ok {
			t.Errorf("values.schema.json: %s is missing", v)
		}
	}
	var walk func(path []string, s schema)
	walk = func(path []string, s schema) {
		properties, _ := s["properties"].(map[string]any)
		if len(properties) == 0 || listed[strings.Join(path, ".")] {
			if !listed[strings.Join(path, ".")] {
				t.Errorf("values.yaml: %s, which the schema allows, is not listed", strings.Join(path, "."))
			}
			return
		}
		for key, p := range properties {
			walk(append(slices.Clone(path), key), root.follow(p.(map[string]any)))
		}
	}
	walk(nil, root)
}

func TestTheSchemaRefusesEveryKeyItDoesNotList(t *testing.T) {
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if _, ok := v["properties"].(map[string]any); ok && path != "/properties/global" {
				if v["additionalProperties"] != false {
					t.Errorf("%s: additionalProperties is not false", path)
				}
			}
			for k, e := range v {
				walk(path+"/"+k, e)
			}
		case []any:
			for i, e := range v {
				walk(fmt.Sprintf("%s/%d", path, i), e)
			}
		}
	}
	walk("", map[string]any(readSchema(t)))

	c := loadChart(t)
	for _, path := range [][]string{{"registryy"}, {"registry", "replica"}, {"etcd", "external", "endpoint"}, {"guard", "enable"}, {"image", "digest"}} {
		if _, err := render(c, nested(path, true)); err == nil || !strings.Contains(err.Error(), path[len(path)-1]) {
			t.Errorf("%v is accepted (%v)", path, err)
		}
	}
}

// Every value is changed, one at a time, on top of every promised install: if nothing rendered ever changes, nothing uses it.
func TestEveryValueIsUsed(t *testing.T) {
	root, c := readSchema(t), loadChart(t)
	bases := map[string]string{}
	for _, name := range caseNames(t) {
		bases[name] = mustRender(t, caseValues(t, name)).text
	}
	for _, v := range readValues(t) {
		s, ok := root.at(v.path...)
		if !ok {
			continue // told by TestEveryValueIsDocumentedAndInTheSchema
		}
		used, tried := false, []error{}
		for _, other := range others(t, s, v.node) {
			for name, before := range bases {
				r, err := render(c, merge(caseValues(t, name), nested(v.path, other)))
				tried = append(tried, err)
				// A refusal by validate.yaml is a use as well; one by the schema is a bad example.
				used = used || err == nil && r.text != before || err != nil && strings.Contains(err.Error(), "lanyard: ")
			}
		}
		if !used {
			t.Errorf("%s changes nothing that is rendered (%v)", v, tried)
		}
	}
}

// others returns values the schema allows in the place of the default.
func others(t testing.TB, s schema, node *yaml.Node) []any {
	t.Helper()
	if examples, ok := s["examples"].([]any); ok {
		return examples
	}
	if enum, ok := s["enum"].([]any); ok {
		return enum
	}
	var v any
	if err := node.Decode(&v); err != nil {
		t.Fatal(err)
	}
	switch v := v.(type) {
	case bool:
		return []any{true, false}
	case int:
		return []any{v + 1}
	case string:
		return []any{v + "x"}
	}
	t.Fatalf("no example for %v", v)
	return nil
}

func nested(path []string, v any) map[string]any {
	m := map[string]any{path[len(path)-1]: v}
	for _, key := range slices.Backward(path[:len(path)-1]) {
		m = map[string]any{key: m}
	}
	return m
}

// merge lays over on base, map by map.
func merge(base, over map[string]any) map[string]any {
	for k, v := range over {
		if m, ok := v.(map[string]any); ok {
			if b, ok := base[k].(map[string]any); ok && len(m) > 0 {
				base[k] = merge(b, m)
				continue
			}
		}
		base[k] = v
	}
	return base
}
