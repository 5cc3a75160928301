// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

const mediumMemory = "Memory"

// tokenMode is written out because the API server would add it. The kubelet narrows it to 0600 or 0640 where the pod has one user or an fsGroup.
const tokenMode int32 = 0o644

// envSize bounds the env volume: each value at its largest, twice because a file is replaced by a complete new one, and a MiB for what stands around them.
// A tmpfs only takes what is written to it.
func envSize(envs int) *resource.Quantity {
	const mib = 1 << 20
	bytes := 2*int64(envs)*wire.MaxValueBytes + mib
	return resource.NewQuantity((bytes+mib-1)/mib*mib, resource.BinarySI)
}

func (p *planner) volumes() [2]volume {
	mode := tokenMode
	return [2]volume{
		{Name: podspec.VolumeEnv, EmptyDir: &emptyDir{Medium: mediumMemory, SizeLimit: envSize(p.envs())}},
		{Name: podspec.VolumeToken, Projected: &projected{DefaultMode: &mode, Sources: []projection{{ServiceAccountToken: &tokenProjection{
			Audience: p.cfg.Audience, ExpirationSeconds: int64(podspec.TokenLifetime.Seconds()), Path: podspec.TokenPath,
		}}}}},
	}
}

// is reports whether v is w, which is one of ours.
func (v *volume) is(w *volume) bool {
	if w.EmptyDir != nil {
		return v.EmptyDir != nil && v.EmptyDir.Medium == w.EmptyDir.Medium && v.EmptyDir.SizeLimit != nil && v.EmptyDir.SizeLimit.Cmp(*w.EmptyDir.SizeLimit) == 0
	}
	p := v.Projected
	return p != nil && (p.DefaultMode == nil || *p.DefaultMode == *w.Projected.DefaultMode) && len(p.Sources) == 1 &&
		p.Sources[0].ServiceAccountToken != nil && *p.Sources[0].ServiceAccountToken == *w.Projected.Sources[0].ServiceAccountToken
}

// changeVolumes adds our volumes, corrects those a copied pod brought, and removes them from a pod that needs them no longer.
func (p *planner) changeVolumes() {
	const path = "/spec/volumes"
	have := p.pod.Spec.Volumes
	if p.envs() == 0 {
		var ours []int
		for i := range have {
			if have[i].Name == podspec.VolumeEnv || have[i].Name == podspec.VolumeToken {
				ours = append(ours, i)
			}
		}
		p.removeAll(path, ours)
		return
	}
	want := p.volumes()
	if len(have) == 0 {
		p.patch.add(path, want)
		return
	}
	for i := range want {
		found := false
		for j := range have {
			if have[j].Name != want[i].Name {
				continue
			}
			found = true
			if !have[j].is(&want[i]) {
				p.patch.replace(at(path, j), &want[i])
			}
		}
		if !found {
			p.patch.add(path+"/-", &want[i])
		}
	}
}
