{{/* Secrets as files, all in one volume that Kubernetes renews when they change. */}}
{{- define "gateway.secretSource" -}}
{{- if .name }}
- secret:
    name: {{ .name }}
    items:
      - key: {{ .key }}
        path: {{ .path }}
{{- end }}
{{- end -}}

{{- define "gateway.secretSources" -}}
{{- with .Values -}}
{{- include "gateway.secretSource" (dict "name" .upstream.existingSecret "key" .upstream.existingSecretKey "path" "upstream-token") -}}
{{- include "gateway.secretSource" (dict "name" .admin.existingSecret "key" .admin.existingSecretKey "path" "admin-token") -}}
{{- include "gateway.secretSource" (dict "name" .admin.tokensExistingSecret "key" .admin.tokensExistingSecretKey "path" "tokens.toml") -}}
{{- include "gateway.secretSource" (dict "name" .access.existingSecret "key" .access.existingSecretKey "path" "access-secret") -}}
{{- include "gateway.secretSource" (dict "name" .access.clientsExistingSecret "key" .access.clientsExistingSecretKey "path" "clients.toml") -}}
{{- include "gateway.secretSource" (dict "name" .redis.existingSecret "key" .redis.existingSecretKey "path" "redis-url") -}}
{{- end -}}
{{- end -}}

{{- define "gateway.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 16Mi
- name: config
  configMap:
    name: {{ include "gateway.fullname" . }}
{{- with include "gateway.secretSources" . | trim }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- with .Values.redis.tlsExistingSecret }}
- name: redis-tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.tls.existingSecret }}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.admin.tlsExistingSecret }}
- name: admin-tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.upstream.caExistingSecret }}
- name: upstream-ca
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "gateway.mounts" -}}
- name: tmp
  mountPath: /tmp
- name: config
  mountPath: /etc/gateway/config
  readOnly: true
{{- if include "gateway.secretSources" . | trim }}
- name: secrets
  mountPath: /etc/gateway/secrets
  readOnly: true
{{- end }}
{{- if .Values.redis.tlsExistingSecret }}
- name: redis-tls
  mountPath: /etc/gateway/redis-tls
  readOnly: true
{{- end }}
{{- if .Values.tls.existingSecret }}
- name: tls
  mountPath: /etc/gateway/tls
  readOnly: true
{{- end }}
{{- if .Values.admin.tlsExistingSecret }}
- name: admin-tls
  mountPath: /etc/gateway/admin-tls
  readOnly: true
{{- end }}
{{- if .Values.upstream.caExistingSecret }}
- name: upstream-ca
  mountPath: /etc/gateway/upstream-ca
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "gateway.probe" -}}
httpGet:
  path: {{ .path }}
  port: admin
  {{- if eq .scheme "https" }}
  scheme: HTTPS
  {{- end }}
{{ toYaml .times }}
{{- end -}}

{{/* The constraints by which pods spread: the chart's own, then those of the values. */}}
{{- define "gateway.spread" -}}
{{- $these := dict "labelSelector" (dict "matchLabels" (include "gateway.selector" . | fromYaml)) "matchLabelKeys" (list "pod-template-hash") -}}
{{- with .Values.topologySpread -}}
{{- if .enabled }}
{{ toYaml (list (merge (dict "maxSkew" 1 "topologyKey" .topologyKey "whenUnsatisfiable" .whenUnsatisfiable) $these)) }}
{{- end }}
{{- range .constraints }}
{{ toYaml (list (ternary . (merge (dict) . $these) (hasKey . "labelSelector"))) }}
{{- end }}
{{- end -}}
{{- end -}}
