// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// wish is what the annotations of a pod ask for.
type wish struct {
	consumer   *ref.Consumer           // of the pod; nil if there is none
	own        map[string]ref.Consumer // :: container → its own consumer
	all        bool                    // the pod's consumer goes to every container
	containers []string                // to these; empty means the default container

	delivery   wire.Delivery            // of all containers; empty if the pod does not say
	deliveries map[string]wire.Delivery // :: container → its own
	filesPath  string                   // of the file delivery; empty if the pod does not say
	bundles    []string                 // formats of files with all values
	refresh    refresh
	order      string // the init agent's place; empty if the pod does not say
	lookup     bool   // commands that the pod does not name are looked up in the images

	filesMode     podspec.FilesMode
	filesModeText string // of it; empty if the pod does not say
}

// readAnnotations parses every annotation of our domain. Each annotation that cannot be used is a problem; the wish is complete only if there is none.
func (p *planner) readAnnotations() wish {
	var w wish
	for _, key := range slices.Sorted(maps.Keys(p.pod.Metadata.Annotations)) {
		if !strings.HasPrefix(key, podspec.Domain) {
			continue
		}
		value := p.pod.Metadata.Annotations[key]
		switch {
		case key == podspec.AnnotationConsumer:
			if c, ok := p.parseConsumer(key, value); ok {
				w.consumer = &c
			}
		case strings.HasPrefix(key, podspec.AnnotationConsumerPrefix):
			if c, ok := p.parseConsumer(key, value); ok {
				if w.own == nil {
					w.own = make(map[string]ref.Consumer)
				}
				w.own[strings.TrimPrefix(key, podspec.AnnotationConsumerPrefix)] = c
			}
		case key == podspec.AnnotationContainers:
			p.readContainers(&w, value)
		case key == podspec.AnnotationDelivery:
			w.delivery = p.parseDelivery(key, value)
		case strings.HasPrefix(key, podspec.AnnotationDeliveryPrefix):
			if w.deliveries == nil {
				w.deliveries = make(map[string]wire.Delivery)
			}
			w.deliveries[strings.TrimPrefix(key, podspec.AnnotationDeliveryPrefix)] = p.parseDelivery(key, value)
		case key == podspec.AnnotationOrder:
			w.order = p.readOrder(value)
		case key == podspec.AnnotationImageConfig:
			w.lookup = true
			if value != podspec.ImageConfigLookup {
				p.deny(ReasonImageConfigInvalid, annotationField(key), fmt.Sprintf("%q is not %s", clip(value), podspec.ImageConfigLookup))
			}
		case key == podspec.AnnotationFilesPath:
			w.filesPath = p.parseFilesPath(value)
		case key == podspec.AnnotationFilesMode:
			w.filesMode, w.filesModeText = p.parseFilesMode(value), value
		case key == podspec.AnnotationFilesBundle:
			w.bundles = p.parseFilesBundle(value)
		case key == podspec.AnnotationRefresh, key == podspec.AnnotationRefreshHTTP, key == podspec.AnnotationRefreshSignal, key == podspec.AnnotationRefreshRestart:
			p.readRefresh(&w.refresh, key, value)
		case key == podspec.AnnotationStatus:
			// Ours, and never trusted: what was decided before does not count.
		case key == podspec.LabelInject:
			p.deny(ReasonUnknownAnnotation, annotationField(key), "this is a label, not an annotation")
		default:
			p.deny(ReasonUnknownAnnotation, annotationField(clip(key)), "unknown annotation")
		}
	}
	if len(p.problems) > 0 {
		return w
	}
	if w.consumer == nil && (w.all || len(w.containers) > 0) {
		p.deny(ReasonContainersInvalid, annotationField(podspec.AnnotationContainers), "it says where the pod's consumer goes, but there is no "+podspec.AnnotationConsumer)
	}
	return w
}

func (p *planner) parseConsumer(key, value string) (ref.Consumer, bool) {
	c, err := ref.ParseConsumer(value)
	if err != nil {
		p.deny(ReasonConsumerMalformed, annotationField(clip(key)), err.Error())
	}
	return c, err == nil
}

func (p *planner) readContainers(w *wish, value string) {
	field := annotationField(podspec.AnnotationContainers)
	if strings.TrimSpace(value) == podspec.AllContainers {
		w.all = true
		return
	}
	for name := range strings.SplitSeq(value, ",") {
		name = strings.TrimSpace(name)
		switch {
		case name == "":
			p.deny(ReasonContainersInvalid, field, "it has an empty name")
			return
		case name == podspec.AllContainers:
			p.deny(ReasonContainersInvalid, field, "* stands alone, not in a list")
			return
		case slices.Contains(w.containers, name):
			p.deny(ReasonContainersInvalid, field, fmt.Sprintf("%q is named twice", clip(name)))
			return
		}
		w.containers = append(w.containers, name)
		if len(w.containers) > wire.MaxContainers {
			p.deny(ReasonTooMany, field, fmt.Sprintf("it names more than %d containers", wire.MaxContainers))
			return
		}
	}
}

func (p *planner) parseDelivery(key, value string) wire.Delivery {
	d := wire.Delivery(value)
	switch d {
	case wire.DeliveryAuto, wire.DeliveryEnvfile, wire.DeliveryExec, wire.DeliveryDirect, wire.DeliveryFile:
	default:
		p.deny(ReasonDeliveryInvalid, annotationField(clip(key)), fmt.Sprintf("unknown delivery %q", clip(value)))
	}
	return d
}

// parseFilesPath refuses what could mean another directory to the kubelet or to the container than it does to a reader: it becomes part of ENVs.
func (p *planner) parseFilesPath(value string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-"
	if len(value) > maxFilesPath || !path.IsAbs(value) || path.Clean(value) != value || value == "/" || strings.Trim(value, alphabet) != "" {
		p.deny(ReasonFilesPathInvalid, annotationField(podspec.AnnotationFilesPath), fmt.Sprintf("%q is no such directory", clip(value)))
	}
	return value
}

const maxFilesPath = 256

func annotationField(key string) string { return "metadata.annotations[" + key + "]" }

// clip keeps hostile text out of messages.
func clip(text string) string {
	const limit = 200
	if len(text) > limit {
		return strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}
