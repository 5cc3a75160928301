// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"strings"
	"testing"
)

func TestEnvFilesNeedAKubeletThatReadsThem(t *testing.T) {
	for version, want := range map[string]string{
		"v1.37.2": "", "v1.35.0": "", "v1.35.0-eks-1a2b3c": "", "v1.36.1+k3s1": "", "v2.0.0": "",
		"v1.34.9": "older than 1.35", "v1.9.1": "older than 1.35", "v0.99.0": "older than 1.35",
		"v1.350": "which is none", "1.37.2": "which is none", "": "which is none", "v1.x.3": "which is none", "knative": "which is none", "v-1.-40.0": "which is none",
	} {
		if got := (Info{Kubelet: version}).NoEnvFiles(); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("kubelet %q: %q, want %q", version, got, want)
		}
	}
}

func TestImageVolumesNeedAKubeletAndARuntimeThatMountThem(t *testing.T) {
	for _, tc := range []struct{ kubelet, runtime, want string }{
		{"v1.36.0", "containerd://2.1.0", ""},
		{"v1.37.2", "containerd://2.1.0-rc.1", ""},
		{"v1.37.2", "containerd://2.4.2", ""},
		{"v1.37.2", "containerd://10.0.0", ""},
		{"v1.37.2", "cri-o://1.36.0", ""},
		{"v1.35.9", "containerd://2.4.2", "its kubelet \"v1.35.9\" is older than 1.36"},
		{"v1.37.2", "containerd://2.0.5", "containerd \"2.0.5\" is older than 2.1"},
		{"v1.37.2", "containerd://1.7.28", "older than 2.1"},
		{"v1.37.2", "cri-o://1.33.2", "older than 1.34"},
		{"v1.37.2", "docker://28.0.1", "not known to mount images"},
		{"v1.37.2", "containerd://", "not known to mount images"},
		{"v1.37.2", "containerd://Unknown", "not known to mount images"},
		{"v1.37.2", "2.4.2", "not known to mount images"},
		{"v1.37.2", "", "not known to mount images"},
	} {
		if got := (Info{tc.kubelet, tc.runtime}).NoImageVolumes(); (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s with %q: %q, want %q", tc.kubelet, tc.runtime, got, tc.want)
		}
	}
}

func TestWhatANodeReportsIsQuotedShortly(t *testing.T) {
	hostile := strings.Repeat("\n\x1b[31mx", 1000)
	for _, i := range []Info{{Kubelet: hostile}, {Kubelet: "v1.1." + hostile}, {"v1.37.2", hostile}, {"v1.37.2", "containerd://1.1." + hostile}} {
		for _, text := range []string{i.NoEnvFiles(), i.NoImageVolumes()} {
			if len(text) > 500 || strings.ContainsAny(text, "\n\x1b") {
				t.Errorf("it says %q", text)
			}
		}
	}
}
