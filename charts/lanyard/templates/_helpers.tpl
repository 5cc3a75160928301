{{- /* Prefix of every object's name. 40 characters leave room for the longest suffix within a DNS label. */ -}}
{{- define "lanyard.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "lanyard.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "lanyard.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* Labels that select a component's pods. They are immutable in workloads: nothing of a version may enter. Takes (list root component). */ -}}
{{- define "lanyard.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "lanyard.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- /* Labels of every object. Takes (list root component). */ -}}
{{- define "lanyard.labels" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "lanyard.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/part-of: lanyard
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Image repository with its host, without a tag. Takes (list root image). */ -}}
{{- define "lanyard.imageRepository" -}}
{{- $root := index . 0 -}}
{{- printf "%s/%s" ($root.Values.global.imageRegistry | default $root.Values.image.registry) (index . 1).repository -}}
{{- end -}}

{{- /* Full image reference. A digest says all there is to say, so the tag is left out beside one. Takes (list root image). */ -}}
{{- define "lanyard.image" -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" (include "lanyard.imageRepository" .) $image.digest -}}
{{- else -}}
{{- printf "%s:%s" (include "lanyard.imageRepository" .) ($image.tag | default (index . 0).Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "lanyard.embedded" -}}
{{- if not .Values.etcd.external.endpoints -}}true{{- end -}}
{{- end -}}

{{- define "lanyard.keySecret" -}}
{{- .Values.keys.existingSecret | default (printf "%s-keys" (include "lanyard.fullname" .)) -}}
{{- end -}}

{{- define "lanyard.bootstrapSecret" -}}
{{- .Values.bootstrapToken.existingSecret | default (printf "%s-bootstrap" (include "lanyard.fullname" .)) -}}
{{- end -}}

{{- define "lanyard.tlsSecret" -}}
{{- .Values.registry.tls.existingSecret | default (printf "%s-registry-tls" (include "lanyard.fullname" .)) -}}
{{- end -}}

{{- /* Public half of the registry's CA, created by the init Job next to the TLS Secret. Unused with a TLS Secret of the user's. */ -}}
{{- define "lanyard.caConfigMap" -}}
{{- printf "%s-registry-ca" (include "lanyard.fullname" .) -}}
{{- end -}}

{{- define "lanyard.injectorCertSecret" -}}
{{- printf "%s-injector-cert" (include "lanyard.fullname" .) -}}
{{- end -}}

{{- /* DNS name of the registry within the cluster; also the name its certificate is checked against. */ -}}
{{- define "lanyard.registryHost" -}}
{{- printf "%s-registry.%s.svc" (include "lanyard.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- /*
Namespaces that the webhook and the guard look at. Both use this one selector: a namespace only one of them covered would refuse pods nobody injects, or
let pods through un-injected.
*/ -}}
{{- define "lanyard.namespaceSelector" -}}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values:
      {{- toYaml (concat (list "kube-system" "kube-node-lease" .Release.Namespace) .Values.injector.excludedNamespaces | uniq) | nindent 6 }}
{{- end -}}

{{- /* Pods that opted in. A label, because the API server can select on one: other pods reach neither the webhook nor the guard. */ -}}
{{- define "lanyard.objectSelector" -}}
matchLabels:
  lanyard.dev/inject: "true"
{{- end -}}

{{- /* Mirror pods show static pods of a node that run already: nothing can be injected into them any more, and refusing one only hides it. */ -}}
{{- define "lanyard.matchConditions" -}}
- name: not-a-mirror-pod
  expression: "!('kubernetes.io/config.mirror' in object.metadata.?annotations.orValue({}))"
{{- end -}}
