// SPDX-License-Identifier: Apache-2.0

package podspec_test

import (
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
)

func TestValuesVolumesAreLabelsAndNoTwoContainersShareOne(t *testing.T) {
	long := strings.Repeat("x", 60)
	seen := make(map[string]string)
	names := []string{"a", "app", long[:46], long[:47], long[:48], long[:49], long, long + "abc", long + "abd"}
	// A container cannot be called so that its volume is that of one with a long name.
	names = append(names, strings.TrimPrefix(podspec.ValuesVolume(long), podspec.VolumeValuesPrefix))
	for _, name := range names {
		volume := podspec.ValuesVolume(name)
		if len(volume) > 63 || !strings.HasPrefix(volume, podspec.VolumeValuesPrefix) {
			t.Errorf("container %s has volume %s, of %d bytes", name, volume, len(volume))
		}
		if other, taken := seen[volume]; taken {
			t.Errorf("containers %s and %s share volume %s", name, other, volume)
		}
		seen[volume] = name
	}
}
