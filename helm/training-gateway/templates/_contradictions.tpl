{{/* Values that are sound one by one and make no sense together: each says what to change. */}}
{{- define "gateway.refuse" -}}
{{- $mode := .Values.config.access.mode | default "" -}}
{{- $hasRedis := include "gateway.hasRedis" . -}}
{{- if and (include "gateway.several" .) (not $hasRedis) -}}
{{- fail "several pods without a Redis would each spend the whole upstream.rate_limit: set redis.url or redis.existingSecret, or replicas: 1 without autoscaling" -}}
{{- end -}}
{{- if and .Values.redis.url .Values.redis.existingSecret -}}
{{- fail "redis.url and redis.existingSecret both name the Redis: give one of them" -}}
{{- end -}}
{{- if regexMatch "^[a-z+]+://[^/?]*@|[?&](sentinel_)?password=" .Values.redis.url -}}
{{- fail "redis.url carries a password, which everybody who may read the release would see: put the address into a Secret and name it in redis.existingSecret" -}}
{{- end -}}
{{- if and .Values.redis.tlsExistingSecret .Values.redis.url (not (contains "/etc/gateway/redis-tls/" .Values.redis.url)) -}}
{{- fail "redis.tlsExistingSecret is mounted and never used: add ?ssl_ca_certs=/etc/gateway/redis-tls/ca.crt to redis.url" -}}
{{- end -}}
{{- if and .Values.redis.tlsExistingSecret (not $hasRedis) -}}
{{- fail "redis.tlsExistingSecret is set and there is no Redis: set redis.url or redis.existingSecret" -}}
{{- end -}}
{{- if and (eq $mode "open") (not .Values.upstream.existingSecret) -}}
{{- fail "config.access.mode is \"open\" and the gateway has no token for the API: name the Secret of a token in upstream.existingSecret" -}}
{{- end -}}
{{- if and .Values.upstream.existingSecret (ne $mode "open") -}}
{{- fail "upstream.existingSecret would never be used: set config.access.mode to \"open\", or name no Secret" -}}
{{- end -}}
{{- if and (eq $mode "clients") (not .Values.access.clientsExistingSecret) -}}
{{- fail "config.access.mode is \"clients\" and there are none: name the Secret of the clients file in access.clientsExistingSecret" -}}
{{- end -}}
{{- if and .Values.access.clientsExistingSecret (ne $mode "clients") -}}
{{- fail "access.clientsExistingSecret would never be used: set config.access.mode to \"clients\", or name no Secret" -}}
{{- end -}}
{{- if and .Values.upstream.caExistingSecret (hasPrefix "http:" (.Values.config.upstream.base_url | default "")) -}}
{{- fail "upstream.caExistingSecret would never be used: config.upstream.base_url begins with http://, so give it https://, or name no Secret" -}}
{{- end -}}
{{- if and (eq (toString .Values.config.sweep.enabled) "true") (not (has $mode (list "open" "clients"))) -}}
{{- fail "config.sweep.enabled is true and the gateway has no token to sweep with: leave it \"auto\", or set config.access.mode to \"open\" or \"clients\"" -}}
{{- end -}}
{{- range $section, $host := dict "server" .Values.config.server.host "admin" .Values.config.admin.host -}}
{{- if regexMatch "(?i)^(127[.]|localhost$|::1$)" $host -}}
{{- fail (printf "config.%s.host is %s, where nothing outside the pod can connect: leave it 0.0.0.0" $section $host) -}}
{{- end -}}
{{- end -}}
{{- if or (eq (int .Values.config.server.port) 0) (eq (int .Values.config.admin.port) 0) -}}
{{- fail "config.server.port and config.admin.port are ports of the pod that others connect to: 0, any free port, is none" -}}
{{- end -}}
{{- if eq (int .Values.config.server.port) (int .Values.config.admin.port) -}}
{{- fail "config.server.port and config.admin.port are one port: change one of them" -}}
{{- end -}}
{{- include "gateway.refuseSizes" . -}}
{{- include "gateway.refuseRoutes" . -}}
{{- end -}}

{{/* Ports that the network policy does not let pods connect to. Further rules of one's own may. A usual port is looked
     for only in the default lists: many networks judge by the port of the pod behind a Service. */}}
{{- define "gateway.refuseRoutes" -}}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.egress) -}}
{{- $ports := splitList "," (join "," .Values.networkPolicy.redisPorts) -}}
{{- $usual := ternary "26379" "6379" (hasPrefix "redis+sentinel:" .Values.redis.url) -}}
{{- range splitList "," (regexFind "^[a-z+]+://[^/?]+" .Values.redis.url) | compact -}}
{{- $written := trimPrefix ":" (regexFind ":[0-9]+$" .) -}}
{{- $port := $written | default $usual -}}
{{- if and (not (has $port $ports)) (or $written (eq (join "," $ports) "6379")) -}}
{{- fail (printf "networkPolicy lets pods connect to no port %s of redis.url: add it to networkPolicy.redisPorts" $port) -}}
{{- end -}}
{{- end -}}
{{- $ports = splitList "," (join "," .Values.networkPolicy.upstreamPorts) -}}
{{- range $setting, $address := dict "upstream.base_url" .Values.config.upstream.base_url "tracing.endpoint" (.Values.config.tracing).endpoint -}}
{{- with regexFind "^https?://[^/?]*" ($address | default "") -}}
{{- $written := trimPrefix ":" (regexFind ":[0-9]+$" .) -}}
{{- $port := $written | default (ternary "80" "443" (hasPrefix "http:" .)) -}}
{{- if and (not (has $port $ports)) (or $written (eq (join "," $ports) "443")) -}}
{{- fail (printf "networkPolicy lets pods connect to no port %s of config.%s: add it to networkPolicy.upstreamPorts" $port $setting) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "gateway.refuseSizes" -}}
{{- with (.Values.resources.limits).memory -}}
{{- if gt (mul 2 (include "gateway.bytes" $.Values.config.l1.max_bytes)) (int64 (include "gateway.bytes" .)) -}}
{{- fail (printf "config.l1.max_bytes (%v) is more than half of resources.limits.memory (%v), and the process would be killed: raise the limit or lower the cache" $.Values.config.l1.max_bytes .) -}}
{{- end -}}
{{- end -}}
{{- if lt (int (include "gateway.grace" .)) (int (include "gateway.needs" .)) -}}
{{- fail (printf "terminationGracePeriodSeconds (%s) would kill pods in mid-drain: preStopSleepSeconds, drain_delay, drain_timeout and what follows them take %s; leave it null" (include "gateway.grace" .) (include "gateway.needs" .)) -}}
{{- end -}}
{{- with .Values.autoscaling -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) -}}
{{- fail "autoscaling.minReplicas is above autoscaling.maxReplicas" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (not ((.Values.resources.requests).cpu)) -}}
{{- fail "autoscaling counts in percent of resources.requests.cpu, which is unset" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.enabled without a name: give one in ingress.hosts" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.enabled without a Gateway: name one in httpRoute.parentRefs" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled .Values.tls.existingSecret (not .Values.httpRoute.backendTls.hostname) -}}
{{- fail "the pods speak TLS and the Gateway would not: name what their certificate is for in httpRoute.backendTls.hostname" -}}
{{- end -}}
{{- if and .Values.httpRoute.backendTls.hostname (not .Values.tls.existingSecret) -}}
{{- fail "httpRoute.backendTls.hostname is set and the pods speak no TLS: name their certificate's Secret in tls.existingSecret" -}}
{{- end -}}
{{- if and .Values.service.nodePort (eq .Values.service.type "ClusterIP") -}}
{{- fail "service.nodePort is set and service.type is ClusterIP: set it to NodePort or LoadBalancer" -}}
{{- end -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.create is false: name the account that exists in serviceAccount.name" -}}
{{- end -}}
{{- end -}}
