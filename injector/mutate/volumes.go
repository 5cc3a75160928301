// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

const mediumMemory = "Memory"

// tokenMode is written out because the API server would add it. The kubelet narrows it to 0600 or 0640 where the pod has one user or an fsGroup.
const tokenMode int32 = 0o644

// binSize bounds the volume with the agent's binary, which has at most 7 MB and is there twice while it is being replaced. It is on the node's disk: in memory
// it would be charged to the pod, and it is no secret.
const binSize = 16 << 20

// envSize bounds a volume of values: each value at its largest, twice because a file is replaced by a complete new one, and a MiB for what stands around them.
// A tmpfs only takes what is written to it.
//
// Each bundle has all values again, with up to six bytes for one that must be escaped.
func envSize(envs, bundles int) *resource.Quantity {
	const mib, escaped = 1 << 20, len(`\u0000`)
	bytes := 2*int64(envs)*wire.MaxValueBytes*int64(1+escaped*bundles) + mib
	return resource.NewQuantity((bytes+mib-1)/mib*mib, resource.BinarySI)
}

// volumes returns the volumes the pod is to have of us.
func (p *planner) volumes() []volume {
	var want []volume
	if n := p.envsBy(wire.DeliveryEnvfile); n > 0 {
		want = append(want, valuesVolume(podspec.VolumeEnv, n, 0))
	}
	mode := tokenMode
	want = append(want, volume{Name: podspec.VolumeToken, Projected: &projected{DefaultMode: &mode, Sources: p.tokenSources()}})
	switch {
	case p.imageBin():
		want = append(want, volume{Name: podspec.VolumeBin, Image: &imageSource{Reference: p.cfg.Image, PullPolicy: p.cfg.PullPolicy}})
	case p.envsBy(wire.DeliveryExec) > 0:
		want = append(want, volume{Name: podspec.VolumeBin, EmptyDir: &emptyDir{SizeLimit: resource.NewQuantity(binSize, resource.BinarySI)}})
	}
	for i := range p.targets {
		if t := &p.targets[i]; t.ownVolume() {
			bundles := 0
			if t.receivesFiles() {
				bundles = len(p.wish.bundles)
			}
			want = append(want, valuesVolume(podspec.ValuesVolume(t.c.Name), len(t.envs), bundles))
		}
	}
	return want
}

func valuesVolume(name string, envs, bundles int) volume {
	return volume{Name: name, EmptyDir: &emptyDir{Medium: mediumMemory, SizeLimit: envSize(envs, bundles)}}
}

// is reports whether v is w, which is one of ours.
func (v *volume) is(w *volume) bool {
	if w.EmptyDir != nil {
		return v.EmptyDir != nil && v.EmptyDir.Medium == w.EmptyDir.Medium && v.EmptyDir.SizeLimit != nil && v.EmptyDir.SizeLimit.Cmp(*w.EmptyDir.SizeLimit) == 0
	}
	if w.Image != nil { // AlwaysPullImages changes the policy
		return v.Image != nil && v.Image.Reference == w.Image.Reference
	}
	p := v.Projected
	return p != nil && (p.DefaultMode == nil || *p.DefaultMode == *w.Projected.DefaultMode) && sameTokens(p.Sources, w.Projected.Sources)
}

// changeVolumes adds our volumes, corrects those a copied pod brought, and removes them from a pod that needs them no longer.
func (p *planner) changeVolumes() {
	const path = "/spec/volumes"
	have, want := p.pod.Spec.Volumes, p.volumes()
	if len(have) == 0 {
		if len(want) > 0 {
			p.patch.add(path, want)
		}
		return
	}
	var stale []int
	found := make(map[string]bool, len(want))
	for i := range have {
		switch w := slices.IndexFunc(want, func(w volume) bool { return w.Name == have[i].Name }); {
		case w >= 0:
			found[want[w].Name] = true
			if !have[i].is(&want[w]) {
				p.patch.replace(at(path, i), &want[w])
			}
		case isOwnVolume(have[i].Name):
			stale = append(stale, i)
		}
	}
	p.removeAll(path, stale)
	for i := range want {
		if !found[want[i].Name] {
			p.patch.add(path+"/-", &want[i])
		}
	}
}
