// SPDX-License-Identifier: Apache-2.0

package injector

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/version"

	"github.com/lanyard-dev/lanyard/injector/mutate"
	"github.com/lanyard-dev/lanyard/injector/nodes"
)

func TestVersionsOfTheCluster(t *testing.T) {
	for _, tc := range []struct {
		major, minor, emulatedMajor, emulatedMinor string
		supported                                  bool
	}{
		{"1", "35", "", "", true},
		{"1", "34", "", "", false},
		{"1", "37+", "1", "37", true},
		{"1", "37", "1", "34", false},
		{"2", "0", "", "", true},
		{"", "", "", "", false},
	} {
		why := older(version.Info{Major: tc.major, Minor: tc.minor, EmulationMajor: tc.emulatedMajor, EmulationMinor: tc.emulatedMinor}, minorEnvFiles, "this")
		if (why == "") != tc.supported {
			t.Errorf("%s: %q", fmt.Sprint(tc), why)
		}
	}
}

func TestWhatIsNotKnownCannotBeDone(t *testing.T) {
	able, old := nodes.Summary{Nodes: 2, Architectures: []string{"amd64"}}, nodes.Summary{Nodes: 2, EnvFiles: nodes.Lack{Nodes: 1, Why: "n cannot"}, ImageVolumes: nodes.Lack{Nodes: 1, Why: "n cannot"}}
	for name, tc := range map[string]struct {
		minor            string // of the API server; empty if unknown
		nodes            *nodes.Summary
		unknown, noNodes bool
		unsupported      string
		withoutEnvfile   string
		images           bool
		noImages         string
	}{
		"nothing known":                         {unknown: true, noNodes: true},
		"the API server alone":                  {minor: "37", noNodes: true},
		"an old API server alone":               {minor: "35", noNodes: true, noImages: "is Kubernetes 1.35"},
		"the nodes alone":                       {nodes: &able, unknown: true},
		"all able":                              {minor: "36", nodes: &able, images: true},
		"an old node":                           {minor: "37", nodes: &old, withoutEnvfile: "n cannot", noImages: "n cannot"},
		"an API server too old for images":      {minor: "35", nodes: &able, noImages: "mounting images as volumes needs 1.36"},
		"an API server too old for everything":  {minor: "34", nodes: &old, unsupported: "needs 1.35", withoutEnvfile: "n cannot", noImages: "needs 1.36"},
		"no node, of which nothing is promised": {minor: "37", nodes: &nodes.Summary{}, noImages: "no schedulable Linux node"},
	} {
		t.Run(name, func(t *testing.T) {
			var s support
			if tc.minor != "" {
				s.setServer(version.Info{Major: "1", Minor: tc.minor})
			}
			if tc.nodes != nil {
				s.setNodes(*tc.nodes)
			}
			c := mutate.Config{ImageVolumes: true, Unsupported: "before", NodesWithoutEnvfile: "before", NoImageVolumes: "before", Architectures: []string{"before", "that"}}
			s.apply(&c)
			if known := tc.nodes == &able; (len(c.Architectures) == 1) != known {
				t.Errorf("architectures: %q", c.Architectures)
			}
			if c.SupportUnknown != tc.unknown || c.NodesUnknown != tc.noNodes || c.ImageVolumes != tc.images {
				t.Errorf("unknown %t, nodes unknown %t, images %t", c.SupportUnknown, c.NodesUnknown, c.ImageVolumes)
			}
			for what, texts := range map[string][2]string{
				"Unsupported": {c.Unsupported, tc.unsupported}, "NodesWithoutEnvfile": {c.NodesWithoutEnvfile, tc.withoutEnvfile}, "NoImageVolumes": {c.NoImageVolumes, tc.noImages},
			} {
				if (texts[0] == "") != (texts[1] == "") || !strings.Contains(texts[0], texts[1]) {
					t.Errorf("%s is %q, want %q", what, texts[0], texts[1])
				}
			}
		})
	}
}
