{{- /* Pod template of the registry, shared by the StatefulSet (embedded etcd) and the Deployment (external etcd). */ -}}
{{- define "lanyard.registry.podTemplate" -}}
{{- $fullname := include "lanyard.fullname" . -}}
{{- $registry := .Values.registry -}}
{{- $external := .Values.etcd.external -}}
metadata:
  labels:
    {{- with $registry.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- include "lanyard.labels" (list . "registry") | nindent 4 }}
  {{- with $registry.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ $fullname }}-registry
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 30
  {{- with include "lanyard.imagePullSecrets" . }}
  {{- . | nindent 2 }}
  {{- end }}
  securityContext:
    {{- include "lanyard.podSecurityContext" . | nindent 4 }}
  {{- with include "lanyard.scheduling" $registry }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- if not (include "lanyard.embedded" .) }}
  {{- include "lanyard.topologySpread" (list . "registry") | nindent 2 }}
  {{- end }}
  containers:
    - name: registry
      image: {{ include "lanyard.image" (list . $registry.image) }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - serve
        {{- if include "lanyard.embedded" . }}
        - --data-dir=/var/lib/lanyard/data
        {{- else }}
        - --etcd-endpoints={{ join "," $external.endpoints }}
        {{- if $external.existingSecret }}
        - --etcd-ca-file=/etc/lanyard/etcd/ca.crt
        {{- if $external.clientCertificate }}
        - --etcd-cert-file=/etc/lanyard/etcd/tls.crt
        - --etcd-key-file=/etc/lanyard/etcd/tls.key
        {{- end }}
        {{- end }}
        {{- if $external.allowPlaintext }}
        - --etcd-allow-plaintext
        {{- end }}
        {{- with $external.prefix }}
        - --etcd-prefix={{ . }}
        {{- end }}
        {{- end }}
        - --key-dir=/etc/lanyard/keys
        - --tls-dir=/etc/lanyard/tls
        {{- if not $registry.tls.existingSecret }}
        {{- $host := include "lanyard.registryHost" . }}
        {{- range concat (list $host (trimSuffix ".svc" $host) (printf "%s.cluster.local" $host)) $registry.tls.extraDNSNames | uniq }}
        - --tls-dns-name={{ . }}
        {{- end }}
        {{- end }}
        - --api-address=:8443
        - --workload-address=:9443
        - --metrics-address=:9090
        - --audience={{ .Values.audience }}
        - --cluster-name={{ .Values.clusterName }}
        - --injector-service-account={{ .Release.Namespace }}/{{ $fullname }}-injector
        {{- if .Values.bootstrapToken.enabled }}
        - --bootstrap-token-file=/etc/lanyard/bootstrap/token
        {{- if .Values.bootstrapToken.acceptEnded }}
        - --accept-ended-bootstrap-token
        {{- end }}
        {{- end }}
        {{- with $registry.publicURL }}
        - --public-url={{ . }}
        {{- end }}
        {{- with .Values.oidc }}
        {{- if .issuer }}
        - --oidc-issuer={{ .issuer }}
        - --oidc-client-id={{ .clientID }}
        - --oidc-client-secret-file=/etc/lanyard/oidc/client-secret
        {{- if .privateCA }}
        - --oidc-ca-file=/etc/lanyard/oidc/ca.crt
        {{- end }}
        - --session-lifetime={{ .sessionLifetime }}
        - --session-idle={{ .sessionIdle }}
        {{- end }}
        {{- end }}
        {{- with .Values.federation.issuers }}
        - {{ printf "--federation-issuers=%s" (join "," .) | quote }}
        {{- end }}
        {{- if .Values.federation.caSecret }}
        - --federation-ca-file=/etc/lanyard/federation/ca.crt
        {{- end }}
        {{- range .Values.providers.allowCIDRs }}
        - --provider-allow-cidr={{ . }}
        {{- end }}
        {{- if .Values.providers.allowHTTP }}
        - --provider-allow-http
        {{- end }}
        {{- range .Values.providers.trustedAddresses }}
        - --provider-trusted-address={{ . }}
        {{- end }}
        {{- if .Values.providers.trustedAddresses }}
        - --provider-token-file=/var/run/secrets/lanyard/provider/token
        - --provider-token-audience={{ .Values.providers.vaultAudience }}
        {{- end }}
        {{- range .Values.providers.podAudiences }}
        - --provider-pod-audience={{ . }}
        {{- end }}
        {{- range .Values.providers.clusterNamespaces }}
        - --provider-cluster-namespace={{ . }}
        {{- end }}
        - --provider-health-interval={{ .Values.providers.healthInterval }}
        {{- if $registry.audit.file.enabled }}
        - --audit-file=/var/log/lanyard/$(POD_NAME)/audit.ndjson
        - --audit-file-max-size={{ $registry.audit.file.maxSize }}
        - --audit-file-keep={{ $registry.audit.file.keep }}
        {{- end }}
        - --drain-delay={{ $registry.drainDelay }}
        - --log-level={{ .Values.logLevel }}
        {{- with $registry.extraArgs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- $memory := include "lanyard.goMemoryLimit" $registry }}
      {{- if or $memory $registry.audit.file.enabled }}
      env:
        {{- with $memory }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- if $registry.audit.file.enabled }}
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        {{- end }}
      {{- end }}
      ports:
        - name: api
          containerPort: 8443
        - name: workload
          containerPort: 9443
        - name: metrics
          containerPort: 9090
      {{- include "lanyard.probes" . | nindent 6 }}
      resources:
        {{- toYaml $registry.resources | nindent 8 }}
      securityContext:
        {{- include "lanyard.securityContext" . | nindent 8 }}
      # Secrets are mounted as directories, never with subPath: the kubelet updates them in place, and the registry follows.
      volumeMounts:
        {{- include "lanyard.apiTokenMount" . | nindent 8 }}
        {{- if .Values.providers.trustedAddresses }}
        - name: provider-token
          mountPath: /var/run/secrets/lanyard/provider
          readOnly: true
        {{- end }}
        - name: keys
          mountPath: /etc/lanyard/keys
          readOnly: true
        - name: tls
          mountPath: /etc/lanyard/tls
          readOnly: true
        {{- if .Values.bootstrapToken.enabled }}
        - name: bootstrap
          mountPath: /etc/lanyard/bootstrap
          readOnly: true
        {{- end }}
        {{- if .Values.oidc.issuer }}
        - name: oidc
          mountPath: /etc/lanyard/oidc
          readOnly: true
        {{- end }}
        {{- if .Values.federation.caSecret }}
        - name: federation
          mountPath: /etc/lanyard/federation
          readOnly: true
        {{- end }}
        {{- if $registry.audit.file.enabled }}
        - name: audit
          mountPath: /var/log/lanyard
        {{- end }}
        {{- if include "lanyard.embedded" . }}
        - name: data
          mountPath: /var/lib/lanyard
        {{- else if $external.existingSecret }}
        - name: etcd-tls
          mountPath: /etc/lanyard/etcd
          readOnly: true
        {{- end }}
  volumes:
    {{- include "lanyard.apiTokenVolume" . | nindent 4 }}
    {{- if .Values.providers.trustedAddresses }}
    # What the registry shows to the Vaults that are trusted: good for their audience alone, and never for the API server.
    - name: provider-token
      projected:
        sources:
          - serviceAccountToken:
              path: token
              audience: {{ .Values.providers.vaultAudience }}
              expirationSeconds: 3600
    {{- end }}
    - name: keys
      secret:
        secretName: {{ include "lanyard.keySecret" . | quote }}
        defaultMode: 0440
    - name: tls
      secret:
        secretName: {{ include "lanyard.tlsSecret" . | quote }}
        defaultMode: 0440
    {{- if .Values.bootstrapToken.enabled }}
    - name: bootstrap
      secret:
        secretName: {{ include "lanyard.bootstrapSecret" . | quote }}
        defaultMode: 0440
    {{- end }}
    {{- if .Values.oidc.issuer }}
    - name: oidc
      secret:
        secretName: {{ .Values.oidc.existingSecret | quote }}
        defaultMode: 0440
    {{- end }}
    {{- if .Values.federation.caSecret }}
    - name: federation
      secret:
        secretName: {{ .Values.federation.caSecret | quote }}
        defaultMode: 0440
    {{- end }}
    {{- if $registry.audit.file.enabled }}
    - name: audit
      persistentVolumeClaim:
        claimName: {{ $registry.audit.file.existingClaim | default (printf "%s-audit" $fullname) | quote }}
    {{- end }}
    {{- if and (include "lanyard.embedded" .) (not .Values.etcd.persistence.enabled) }}
    - name: data
      emptyDir: {}
    {{- end }}
    {{- if and (not (include "lanyard.embedded" .)) $external.existingSecret }}
    - name: etcd-tls
      secret:
        secretName: {{ $external.existingSecret | quote }}
        defaultMode: 0440
    {{- end }}
{{- end -}}
