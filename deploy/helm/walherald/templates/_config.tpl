{{/*
What the manifests have to know of walherald's configuration: they follow it, so
that no port and no bound stands in two places.
*/}}

{{/* The text of config.yml. */}}
{{- define "walherald.configText" -}}
{{- if .Values.configFile -}}
{{ .Values.configFile }}
{{- else -}}
{{ toYaml .Values.config }}
{{- end -}}
{{- end -}}

{{/* The configuration, as JSON. */}}
{{- define "walherald.config" -}}
{{- $cfg := include "walherald.configText" . | fromYaml -}}
{{- if hasKey $cfg "Error" -}}{{- fail "configFile is not a YAML mapping" -}}{{- end -}}
{{- toJson $cfg -}}
{{- end -}}

{{/*
The value at a path, as JSON of {"v": value}, or {} if there is none. The case of
keys is no matter to walherald.
*/}}
{{- define "walherald.get" -}}
{{- $at := dict "v" .in -}}
{{- range $want := .path -}}
  {{- $next := dict -}}
  {{- if kindIs "map" $at.v -}}
    {{- range $key, $value := $at.v -}}
      {{- if eq (lower $key) (lower $want) -}}{{- $_ := set $next "v" $value -}}{{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $at = $next -}}
{{- end -}}
{{- toJson $at -}}
{{- end -}}

{{/* The outputs, as JSON of {"v": [...]}. */}}
{{- define "walherald.outputs" -}}
{{- $one := (include "walherald.get" (dict "in" . "path" (list "publisher")) | fromJson).v -}}
{{- $several := (include "walherald.get" (dict "in" . "path" (list "publishers")) | fromJson).v -}}
{{- $all := list -}}
{{- if $one -}}{{- $all = append $all $one -}}{{- end -}}
{{- if kindIs "slice" $several -}}{{- $all = concat $all $several -}}{{- end -}}
{{- toJson (dict "v" $all) -}}
{{- end -}}

{{/* The port of an address, or what is usual for its scheme, or the default. */}}
{{- define "walherald.port" -}}
{{- $usual := dict "http" 80 "https" 443 "ws" 80 "wss" 443 "amqp" 5672 "amqps" 5671 -}}
{{- $scheme := regexFind "^[A-Za-z][A-Za-z0-9+.-]*://" .address | trimSuffix "://" | lower -}}
{{- $rest := regexReplaceAll "^[A-Za-z][A-Za-z0-9+.-]*://" .address "" -}}
{{- $rest = regexReplaceAll "[/?#].*$" (regexReplaceAll "^.*@" $rest "") "" -}}
{{- regexFind ":[0-9]+$" $rest | trimPrefix ":" | default (get $usual $scheme | default .default) -}}
{{- end -}}

{{/* A duration in whole seconds, rounded up. */}}
{{- define "walherald.seconds" -}}
{{- $zero := mustToDate "2006-01-02" "2000-01-01" -}}
{{- $end := mustDateModify "999999999ns" (mustDateModify . $zero) -}}
{{- sub (unixEpoch $end | int64) (unixEpoch $zero | int64) -}}
{{- end -}}

{{/* The ports of the outputs and of what else is reached, one a line. */}}
{{- define "walherald.outputPorts" -}}
{{- $defaults := dict "nats" 4222 "kafka" 9092 "rabbitmq" 5672 -}}
{{- range $out := (include "walherald.outputs" . | fromJson).v -}}
  {{- $type := (include "walherald.get" (dict "in" $out "path" (list "type")) | fromJson).v | default "" | lower -}}
  {{- $tls := or (include "walherald.get" (dict "in" $out "path" (list "enableTLS")) | fromJson).v (include "walherald.get" (dict "in" $out "path" (list "enable_tls")) | fromJson).v -}}
  {{- $default := get $defaults $type -}}
  {{- if and (eq $type "rabbitmq") $tls -}}{{- $default = 5671 -}}{{- end -}}
  {{- $addresses := (include "walherald.get" (dict "in" $out "path" (list "address")) | fromJson).v | default list -}}
  {{- if kindIs "string" $addresses -}}{{- $addresses = splitList "," $addresses -}}{{- end -}}
  {{- if $default -}}
    {{- range $address := $addresses }}
{{ include "walherald.port" (dict "address" (trim $address) "default" $default) }}
    {{- end -}}
  {{- else if eq $type "google_pubsub" }}
{{ include "walherald.port" (dict "address" ((include "walherald.get" (dict "in" $out "path" (list "pubsub" "endpoint")) | fromJson).v | default "") "default" 443) }}
  {{- end -}}
{{- end -}}
{{- if (include "walherald.get" (dict "in" . "path" (list "notifier" "rules")) | fromJson).v }}
443
  {{- $destinations := (include "walherald.get" (dict "in" . "path" (list "notifier" "destinations")) | fromJson).v | default list -}}
  {{- range (include "walherald.get" (dict "in" . "path" (list "notifier" "rules")) | fromJson).v -}}
    {{- $inline := (include "walherald.get" (dict "in" . "path" (list "destination")) | fromJson).v -}}
    {{- $destinations = concat $destinations (list $inline) ((include "walherald.get" (dict "in" . "path" (list "destinations")) | fromJson).v | default list) -}}
  {{- end -}}
  {{- range $destinations -}}
    {{- with (include "walherald.get" (dict "in" . "path" (list "url")) | fromJson).v }}
{{ include "walherald.port" (dict "address" . "default" 443) }}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- with (include "walherald.get" (dict "in" . "path" (list "monitoring" "tracing" "endpoint")) | fromJson).v }}
{{ include "walherald.port" (dict "address" . "default" 4318) }}
{{- end -}}
{{- with (include "walherald.get" (dict "in" . "path" (list "monitoring" "sentryDSN")) | fromJson).v }}
{{ include "walherald.port" (dict "address" . "default" 443) }}
{{- end -}}
{{- end -}}

{{/*
Everything the manifests need, as JSON: probes, metrics, clients and database are
ports (0 means none), outputs is a list of ports, drain and grace are seconds, store
lists what is written to.
*/}}
{{- define "walherald.facts" -}}
{{- $cfg := include "walherald.config" . | fromJson -}}
{{- $probes := (include "walherald.get" (dict "in" $cfg "path" (list "listener" "serverPort")) | fromJson).v | int -}}
{{- $prom := (include "walherald.get" (dict "in" $cfg "path" (list "monitoring" "promAddr")) | fromJson).v | default "" -}}
{{- $drain := (include "walherald.get" (dict "in" $cfg "path" (list "listener" "drainTimeout")) | fromJson).v | default "10s" | toString -}}
{{- if not (regexMatch "^([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$" $drain) -}}
{{- fail (printf "config.listener.drainTimeout is %q: it must be a duration with its unit, such as 10s" $drain) -}}
{{- end -}}
{{- $host := (include "walherald.get" (dict "in" $cfg "path" (list "database" "host")) | fromJson).v | default "" -}}
{{- $database := (include "walherald.get" (dict "in" $cfg "path" (list "database" "port")) | fromJson).v | default 5432 | int -}}
{{- if hasPrefix "/" $host -}}{{- $database = 0 -}}{{- end -}}
{{- $clients := 0 -}}
{{- $store := list -}}
{{- range $out := (include "walherald.outputs" $cfg | fromJson).v -}}
  {{- with (include "walherald.get" (dict "in" $out "path" (list "embedded")) | fromJson).v -}}
    {{- $clients = include "walherald.port" (dict "address" ((include "walherald.get" (dict "in" . "path" (list "listen")) | fromJson).v | default "") "default" 0) | int -}}
    {{- $store = append $store (dict "key" "embedded" "path" ((include "walherald.get" (dict "in" . "path" (list "storeDir")) | fromJson).v | default "")) -}}
  {{- end -}}
  {{- if eq ((include "walherald.get" (dict "in" $out "path" (list "type")) | fromJson).v | default "" | lower) "file" -}}
    {{- $store = append $store (dict "key" "type file" "path" ((include "walherald.get" (dict "in" $out "path" (list "path")) | fromJson).v | default "")) -}}
  {{- end -}}
{{- end -}}
{{- $outputs := list -}}
{{- range splitList "\n" (include "walherald.outputPorts" $cfg) -}}
  {{- with trim . -}}{{- $outputs = append $outputs (int .) -}}{{- end -}}
{{- end -}}
{{- range .Values.networkPolicy.extraPorts -}}{{- $outputs = append $outputs (int .) -}}{{- end -}}
{{- $seconds := include "walherald.seconds" $drain | int -}}
{{- dict "probes" $probes "metrics" (regexFind ":[0-9]+$" $prom | trimPrefix ":" | int) "clients" $clients "database" $database
  "outputs" (uniq $outputs | sortAlpha) "drain" $seconds "grace" (add $seconds .Values.shutdownMarginSeconds) "store" $store | toJson -}}
{{- end -}}
