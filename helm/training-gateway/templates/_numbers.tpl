{{/* A duration as the settings take it (30, "30s", "5m"), in whole seconds, upwards. */}}
{{- define "gateway.seconds" -}}
{{- $text := toString . -}}
{{- $factors := dict "ms" 0.001 "s" 1.0 "" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0 -}}
{{- mulf (float64 (regexFind "^[0-9.]+" $text)) (get $factors (regexFind "[a-z]+$" $text)) | ceil | int64 -}}
{{- end -}}

{{/* A size as the settings take it ("64MiB"), or a quantity of Kubernetes ("256Mi"), in bytes. */}}
{{- define "gateway.bytes" -}}
{{- $text := toString . -}}
{{- $ki := 1024.0 -}}
{{- $mi := 1048576.0 -}}
{{- $gi := 1073741824.0 -}}
{{- $factors := dict "" 1.0 "B" 1.0 "m" 0.001 "k" 1e3 "kB" 1e3 "KB" 1e3 "M" 1e6 "MB" 1e6 "G" 1e9 "GB" 1e9 "T" 1e12 "Ki" $ki "KiB" $ki "Mi" $mi "MiB" $mi "Gi" $gi "GiB" $gi "Ti" (mulf $gi $ki) -}}
{{- $number := regexFind "^[0-9.]+(?:e[+]?[0-9]+)?" $text -}}
{{- mulf (float64 $number) (get $factors (trimPrefix $number $text)) | floor | int64 -}}
{{- end -}}

{{/* How long Kubernetes waits between SIGTERM and SIGKILL. After the drain the process has 1 s for last answers, 6 s for
     orders and 3 s for spans; 1 s is for times that are rounded. It also waits for connections to the API that are being
     made, for connect_timeout. */}}
{{- define "gateway.needs" -}}
{{- add (int .Values.preStopSleepSeconds) (include "gateway.seconds" .Values.config.server.drain_delay) (include "gateway.seconds" .Values.config.server.drain_timeout) (include "gateway.seconds" .Values.config.upstream.connect_timeout) 11 -}}
{{- end -}}

{{- define "gateway.grace" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- include "gateway.needs" . -}}
{{- else -}}
{{- int .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}
