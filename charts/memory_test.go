// SPDX-License-Identifier: Apache-2.0

package charts

import (
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// goMemoryLimits are those that the containers of a rendering are told, by container.
func goMemoryLimits(t *testing.T, r rendering) map[string]string {
	t.Helper()
	limits := map[string]string{}
	for _, template := range podTemplates(t, r) {
		for _, c := range template.Spec.Containers {
			for _, e := range c.Env {
				if e.Name == "GOMEMLIMIT" {
					limits[c.Name] = e.Value
				}
			}
		}
	}
	return limits
}

func TestGoIsToldNineTenthsOfTheMemoryLimit(t *testing.T) {
	eachCase(t, func(t *testing.T, r rendering) {
		told := goMemoryLimits(t, r)
		for _, template := range podTemplates(t, r) {
			for _, c := range template.Spec.Containers {
				if c.Name != "registry" && c.Name != "injector" {
					continue
				}
				limit := c.Resources.Limits[corev1.ResourceMemory]
				if want := strconv.FormatInt(limit.Value()*9/10, 10); told[c.Name] != want {
					t.Errorf("%s with a limit of %s is told %q, want %s", c.Name, limit.String(), told[c.Name], want)
				}
			}
		}
	})
}

func TestEveryWayToWriteAMemoryLimitIsRead(t *testing.T) {
	for name, tc := range map[string]struct {
		limits any
		want   string
	}{
		"mebibytes":           {map[string]any{"memory": "512Mi"}, "483183820"},
		"half a gibibyte":     {map[string]any{"memory": "0.5Gi"}, "483183820"},
		"kibibytes":           {map[string]any{"memory": "1024Ki"}, "943718"},
		"tebibytes":           {map[string]any{"memory": "1Ti"}, "989560464998"},
		"megabytes":           {map[string]any{"memory": "500M"}, "450000000"},
		"kilobytes":           {map[string]any{"memory": "600000k"}, "540000000"},
		"one and a half of G": {map[string]any{"memory": "1.5G"}, "1350000000"},
		"terabytes":           {map[string]any{"memory": "2T"}, "1800000000000"},
		"thousandths":         {map[string]any{"memory": "128974848000m"}, "116077363"},
		"bytes":               {map[string]any{"memory": "268435456"}, "241591910"},
		"a number":            {map[string]any{"memory": 268435456}, "241591910"},
		"another limit":       {map[string]any{"memory": nil, "cpu": "1"}, ""},
		"no limits":           {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			resources := map[string]any{"resources": map[string]any{"limits": tc.limits}}
			told := goMemoryLimits(t, mustRender(t, map[string]any{"registry": resources, "injector": resources}))
			if told["registry"] != tc.want || told["injector"] != tc.want || len(told) > 2 {
				t.Errorf("got %v, want %q for each", told, tc.want)
			}
		})
	}
}
