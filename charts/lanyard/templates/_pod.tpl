{{- /* Parts every pod of the chart shares. All of it satisfies the Pod Security Standard "restricted". */ -}}

{{- define "lanyard.podSecurityContext" -}}
runAsNonRoot: true
{{- with .Values.podSecurityContext.runAsUser }}
runAsUser: {{ int64 . }}
{{- end }}
{{- with .Values.podSecurityContext.runAsGroup }}
runAsGroup: {{ int64 . }}
{{- end }}
{{- with .Values.podSecurityContext.fsGroup }}
fsGroup: {{ int64 . }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "lanyard.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "lanyard.imagePullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* Where a pod runs. Takes a component's values. */ -}}
{{- define "lanyard.scheduling" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* Replicas prefer different nodes and zones, and start anyway where there is only one. Takes (list root component). */ -}}
{{- define "lanyard.topologySpread" -}}
{{- $arg := . -}}
topologySpreadConstraints:
  {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "lanyard.selectorLabels" $arg | nindent 8 }}
  {{- end }}
{{- end -}}

{{- /*
What automountServiceAccountToken would mount, and client-go looks for. It is spelled out because the automatic token cannot be refused to one container of
a pod, and because the registry's own token stands beside it with another audience.
*/ -}}
{{- define "lanyard.apiTokenVolume" -}}
- name: api-token
  projected:
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3607
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                fieldPath: metadata.namespace
{{- end -}}

{{- define "lanyard.apiTokenMount" -}}
- name: api-token
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end -}}

{{- /* Probes of the metrics listener. A slow start (etcd replaying its log, a first certificate) is the startup probe's affair alone. */ -}}
{{- define "lanyard.probes" -}}
startupProbe:
  httpGet:
    path: /livez
    port: metrics
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet:
    path: /livez
    port: metrics
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
readinessProbe:
  httpGet:
    path: /readyz
    port: metrics
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- end -}}

{{- /*
GOMEMLIMIT of a component's container: nine tenths of its memory limit, in bytes, so that the garbage collector works harder before the kernel kills. A resourceFieldRef has the whole limit only,
which is too late: the limit counts more than Go's heap. Every quantity the schema lets through is read. Takes the component's values; nothing without a limit.
*/ -}}
{{- define "lanyard.goMemoryLimit" -}}
{{- $limit := get ((.resources | default dict).limits | default dict) "memory" -}}
{{- if $limit -}}
{{- $units := dict "m" 0.001 "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $text := ternary (toString $limit) (printf "%d" (int64 $limit)) (kindIs "string" $limit) -}}
{{- $number := regexFind "^[0-9.]+" $text -}}
- name: GOMEMLIMIT
  value: {{ mulf (float64 $number) (get $units (trimPrefix $number $text)) 0.9 | int64 | quote }}
{{- end -}}
{{- end -}}
