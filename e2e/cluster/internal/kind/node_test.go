// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func TestWithGatesKeepsTheRestOfTheConfiguration(t *testing.T) {
	const before = "kind: KubeletConfiguration\ncgroupDriver: systemd\nfeatureGates: {Other: true}\n"
	const after = "kind: KubeletConfiguration\ncgroupDriver: systemd\nfeatureGates: {Other: true, EnvFiles: false}\n"
	changed, err := withGates([]byte(before), map[string]bool{"EnvFiles": false})
	if err != nil {
		t.Fatal(err)
	}
	var got, want map[string]any
	for text, target := range map[string]*map[string]any{string(changed): &got, after: &want} {
		if err := yaml.Unmarshal([]byte(text), target); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}
