{{/* The settings as a file. Numbers, switches, texts and lists are written alike in JSON and TOML. */}}
{{- define "gateway.toml" -}}
{{- $own := dict "upstream" (dict) "admin" (dict) "access" (dict) "redis" (dict) "server" (dict) -}}
{{- with .Values -}}
{{- if .upstream.existingSecret }}{{ $_ := set $own.upstream "token_file" "/etc/gateway/secrets/upstream-token" }}{{ end -}}
{{- if .upstream.caExistingSecret }}{{ $_ := set $own.upstream "ca_certs" "/etc/gateway/upstream-ca/ca.crt" }}{{ end -}}
{{- if .admin.existingSecret }}{{ $_ := set $own.admin "token_file" "/etc/gateway/secrets/admin-token" }}{{ end -}}
{{- if .admin.tokensExistingSecret }}{{ $_ := set $own.admin "tokens_file" "/etc/gateway/secrets/tokens.toml" }}{{ end -}}
{{- if .access.existingSecret }}{{ $_ := set $own.access "secret_file" "/etc/gateway/secrets/access-secret" }}{{ end -}}
{{- if .access.clientsExistingSecret }}{{ $_ := set $own.access "clients_file" "/etc/gateway/secrets/clients.toml" }}{{ end -}}
{{- if .redis.existingSecret }}{{ $_ := set $own.redis "url_file" "/etc/gateway/secrets/redis-url" }}{{ end -}}
{{- if .redis.url }}{{ $_ := set $own.redis "url" .redis.url }}{{ end -}}
{{- $_ := set $own.redis "replicas" (include "gateway.mostPods" $ | int) -}}
{{- if .tls.existingSecret -}}
{{- $_ := set $own.server "tls_cert" "/etc/gateway/tls/tls.crt" -}}
{{- $_ := set $own.server "tls_key" "/etc/gateway/tls/tls.key" -}}
{{- end -}}
{{- if .admin.tlsExistingSecret -}}
{{- $_ := set $own.admin "tls_cert" "/etc/gateway/admin-tls/tls.crt" -}}
{{- $_ := set $own.admin "tls_key" "/etc/gateway/admin-tls/tls.key" -}}
{{- end -}}
{{- range $section, $settings := .config }}
[{{ $section }}]
{{- range $name, $value := merge (dict) (get $own $section | default dict) $settings }}
{{- if not (kindIs "invalid" $value) }}
{{ $name }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{ end -}}
{{- end -}}
{{- end -}}
