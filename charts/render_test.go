// SPDX-License-Identifier: Apache-2.0

package charts

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files and the README's values table anew")

const (
	chartDir      = "lanyard"
	testRelease   = "lanyard"
	testNamespace = "lanyard-system"
)

// A document is one rendered Kubernetes object.
type document struct {
	source string // the template's path
	text   string
	fields map[string]any
}

func (d document) kind() string { s, _ := d.fields["kind"].(string); return s }

func (d document) metadata(key string) any {
	m, _ := d.fields["metadata"].(map[string]any)
	return m[key]
}

func (d document) name() string { s, _ := d.metadata("name").(string); return s }

func (d document) String() string { return d.kind() + "/" + d.name() }

// A rendering is what an install of the chart would send.
type rendering struct {
	documents []document
	notes     string
	text      string // everything, in one fixed order
}

func loadChart(t testing.TB) *chart.Chart {
	t.Helper()
	c, err := loader.LoadDir(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// render renders the chart as "helm template" would, with schema validation, for a cluster that has the Prometheus operator.
func render(c *chart.Chart, values map[string]any) (rendering, error) {
	return renderFor(c, values, testNamespace, "monitoring.coreos.com/v1")
}

// renderFor renders the chart into namespace, for a cluster with more APIs than Kubernetes' own.
func renderFor(c *chart.Chart, values map[string]any, namespace string, apis ...string) (rendering, error) {
	capabilities := common.DefaultCapabilities.Copy()
	capabilities.APIVersions = slices.Concat(capabilities.APIVersions, apis)
	release := common.ReleaseOptions{Name: testRelease, Namespace: namespace, Revision: 1, IsInstall: true}
	merged, err := util.ToRenderValues(c, values, release, capabilities)
	if err != nil {
		return rendering{}, err
	}
	files, err := engine.Render(c, merged)
	if err != nil {
		return rendering{}, err
	}
	var r rendering
	for _, name := range slices.Sorted(maps.Keys(files)) {
		r.text += "# " + name + "\n" + files[name] + "\n"
		switch {
		case path.Base(name) == "NOTES.txt":
			r.notes = files[name]
		case strings.HasSuffix(name, ".tpl"):
		default:
			documents, err := split(name, files[name])
			if err != nil {
				return rendering{}, fmt.Errorf("%s: %w", name, err)
			}
			r.documents = append(r.documents, documents...)
		}
	}
	return r, nil
}

func split(source, text string) ([]document, error) {
	var documents []document
	reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for {
		raw, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, err
		}
		d := document{source: source, text: string(raw)}
		if err := yaml.UnmarshalStrict(raw, &d.fields); err != nil {
			return nil, err
		}
		if len(d.fields) > 0 {
			documents = append(documents, d)
		}
	}
}

// caseNames are the value files of the chart's ci folder: the installs that are promised to work.
func caseNames(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(chartDir, "ci", "*-values.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no value files (%v)", err)
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), "-values.yaml"))
	}
	return names
}

func caseValues(t testing.TB, name string) map[string]any {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(chartDir, "ci", name+"-values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{}
	if err := yaml.UnmarshalStrict(raw, &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// eachCase runs f with the rendering of every value file.
func eachCase(t *testing.T, f func(*testing.T, rendering)) {
	for _, name := range caseNames(t) {
		t.Run(name, func(t *testing.T) { f(t, mustRender(t, caseValues(t, name))) })
	}
}

func mustRender(t testing.TB, values map[string]any) rendering {
	t.Helper()
	r, err := render(loadChart(t), values)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var strict = serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()

// object decodes d into its Go type, refusing fields the type does not have. It returns nil for kinds Kubernetes itself does not know.
func (d document) object(t testing.TB) runtime.Object {
	t.Helper()
	if d.kind() == "ServiceMonitor" {
		return nil
	}
	o, _, err := strict.Decode([]byte(d.text), nil, nil)
	if err != nil {
		t.Fatalf("%s (%s): %v", d, d.source, err)
	}
	return o
}

// find returns the only object of type T with the given name.
func find[T runtime.Object](t testing.TB, r rendering, name string) T {
	t.Helper()
	for _, d := range r.documents {
		if d.name() != name {
			continue
		}
		if o, ok := d.object(t).(T); ok {
			return o
		}
	}
	var zero T
	t.Fatalf("no %T named %q", zero, name)
	return zero
}

// golden compares got with testdata/name, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; if the change is meant, run with -update (-want +got):\n%s", file, diff)
	}
}
