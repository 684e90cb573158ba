{{/* Refuses values that would make something that does not work, all at once. */}}
{{- define "walherald.validate" -}}
{{- $problems := list -}}
{{- $cfg := include "walherald.config" . | fromJson -}}
{{- $facts := include "walherald.facts" . | fromJson -}}
{{- $from := ternary "configFile: " "config." (not (empty .Values.configFile)) -}}
{{- $variables := keys .Values.secret.values -}}
{{- range .Values.env -}}{{- $variables = append $variables .name -}}{{- end -}}

{{- range $path := list "database.host" "database.name" "database.user" "listener.slotName" -}}
  {{- $variable := printf "WAL_%s" (upper (replace "." "_" $path)) -}}
  {{- if not (or (include "walherald.get" (dict "in" $cfg "path" (splitList "." $path)) | fromJson).v (has $variable $variables)) -}}
    {{- $problems = append $problems (printf "%s%s is required (or %s in env)" $from $path $variable) -}}
  {{- end -}}
{{- end -}}
{{- if not (or (include "walherald.outputs" $cfg | fromJson).v (include "walherald.get" (dict "in" $cfg "path" (list "notifier" "rules")) | fromJson).v (has "WAL_PUBLISHER_TYPE" $variables) (has "WAL_PUBLISHERS" $variables)) -}}
  {{- $problems = append $problems (printf "%spublisher, publishers or notifier.rules is required: nothing says where changes go" $from) -}}
{{- end -}}

{{- if or (lt (int $facts.probes) 1) (gt (int $facts.probes) 65535) -}}
  {{- $problems = append $problems (printf "%slistener.serverPort must be a port from 1 to 65535: the probes ask it" $from) -}}
{{- end -}}
{{- range $variable := list "WAL_LISTENER_SERVERPORT" "WAL_LISTENER_DRAINTIMEOUT" "WAL_MONITORING_PROMADDR" -}}
  {{- if has $variable $variables -}}
    {{- $problems = append $problems (printf "%s would be unknown to the manifests, which follow the configuration: set the key there" $variable) -}}
  {{- end -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (not $facts.metrics) -}}
  {{- $problems = append $problems (printf "serviceMonitor.enabled needs %smonitoring.promAddr" $from) -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (eq (int $facts.database) 0) (not .Values.networkPolicy.extraPorts) -}}
  {{- if not (hasPrefix "/" ((include "walherald.get" (dict "in" $cfg "path" (list "database" "host")) | fromJson).v | default "")) -}}
    {{- $problems = append $problems (printf "%sdatabase.port is no number that the network policy could let through: name it in networkPolicy.extraPorts" $from) -}}
  {{- end -}}
{{- end -}}

{{- if and .Values.secret.existing .Values.secret.values -}}
  {{- $problems = append $problems "secret.existing and secret.values: one of them" -}}
{{- end -}}
{{- range splitList "\n" (include "walherald.secretsIn" (dict "node" $cfg "path" "")) -}}
  {{- with trim . -}}
    {{- $problems = append $problems (printf "%s%s would be readable in the ConfigMap: put it in secret, or write it as ${env:NAME}" $from .) -}}
  {{- end -}}
{{- end -}}
{{- if not .Values.configFile -}}
  {{- range splitList "\n" (include "walherald.orderIn" (dict "node" $cfg "path" "")) -}}
    {{- with trim . -}}
      {{- $problems = append $problems (printf "config.%s has an expression among several rules, whose order Helm does not keep: use configFile (--set-file configFile=config.yml)" .) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}

{{- $mounts := list -}}
{{- if .Values.persistence.enabled -}}{{- $mounts = append $mounts .Values.persistence.mountPath -}}{{- end -}}
{{- range .Values.extraVolumeMounts -}}{{- if not .readOnly -}}{{- $mounts = append $mounts .mountPath -}}{{- end -}}{{- end -}}
{{- range $store := $facts.store -}}
  {{- if gt (int $.Values.replicaCount) 1 -}}
    {{- $problems = append $problems (printf "%s keeps its data in one pod, where a standby does not have it: set replicaCount to 1" $store.key) -}}
  {{- end -}}
  {{- $held := false -}}
  {{- range $mounts -}}
    {{- if hasPrefix (printf "%s/" (trimSuffix "/" .)) (printf "%s/" (trimSuffix "/" $store.path)) -}}{{- $held = true -}}{{- end -}}
  {{- end -}}
  {{- if not $held -}}
    {{- $problems = append $problems (printf "%s writes to %q, which is on no volume, and the root filesystem is read-only: set persistence.enabled, or add a volume" $store.key $store.path) -}}
  {{- end -}}
{{- end -}}
{{- if and .Values.persistence.enabled (gt (int .Values.replicaCount) 1) (not $facts.store) -}}
  {{- $problems = append $problems "persistence.enabled has one volume, which several pods cannot share: set replicaCount to 1" -}}
{{- end -}}

{{- if $problems -}}
{{- fail (printf "\n  %s" (join "\n  " $problems)) -}}
{{- end -}}
{{- end -}}

{{/* The paths of secrets that stand in the configuration as they are, one a line. */}}
{{- define "walherald.secretsIn" -}}
{{- $path := .path -}}
{{- if kindIs "map" .node -}}
  {{- range $key, $value := .node -}}
    {{- $at := ternary $key (printf "%s.%s" $path $key) (empty $path) -}}
    {{- if has (lower $key) (list "tags" "topicsmap" "tables") -}}
    {{- else if regexMatch "^(?i:password|token|maskkey|sentrydsn|signingsecrets)$" $key -}}
      {{- include "walherald.plainIn" (dict "node" $value "path" $at) -}}
    {{- else if eq (lower $key) "headers" -}}
      {{- range $name, $text := $value -}}
        {{- if regexMatch "(?i)auth|token|key|secret|cookie|password" $name -}}
          {{- include "walherald.plainIn" (dict "node" $text "path" (printf "%s.%s" $at $name)) -}}
        {{- end -}}
      {{- end -}}
    {{- else -}}
      {{- include "walherald.secretsIn" (dict "node" $value "path" $at) -}}
    {{- end -}}
  {{- end -}}
{{- else if kindIs "slice" .node -}}
  {{- range $i, $item := .node -}}
    {{- include "walherald.secretsIn" (dict "node" $item "path" (printf "%s[%d]" $path $i)) -}}
  {{- end -}}
{{- else if kindIs "string" .node -}}
  {{- if or (regexMatch "://[^/@]*:[^@]*@" .node) (regexMatch "(?i)^https://(hooks\\.slack\\.com|api\\.telegram\\.org)/." .node) -}}
    {{- include "walherald.plainIn" . -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* The path, if a text there has no placeholder; $${ is none. */}}
{{- define "walherald.plainIn" -}}
{{- if kindIs "slice" .node -}}
  {{- $path := .path -}}
  {{- range $i, $item := .node -}}
    {{- include "walherald.plainIn" (dict "node" $item "path" (printf "%s[%d]" $path $i)) -}}
  {{- end -}}
{{- else if .node -}}
  {{- if not (contains "${" (replace "$${" "" (toString .node))) }}
{{ .path }}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* The paths of maps of topics whose order decides, one a line. */}}
{{- define "walherald.orderIn" -}}
{{- $path := .path -}}
{{- if kindIs "map" .node -}}
  {{- range $key, $value := .node -}}
    {{- $at := ternary $key (printf "%s.%s" $path $key) (empty $path) -}}
    {{- if and (eq (lower $key) "topicsmap") (kindIs "map" $value) -}}
      {{- if and (gt (len $value) 1) (regexMatch "(?m)^/" (keys $value | join "\n")) }}
{{ $at }}
      {{- end -}}
    {{- else -}}
      {{- include "walherald.orderIn" (dict "node" $value "path" $at) -}}
    {{- end -}}
  {{- end -}}
{{- else if kindIs "slice" .node -}}
  {{- range $i, $item := .node -}}
    {{- include "walherald.orderIn" (dict "node" $item "path" (printf "%s[%d]" $path $i)) -}}
  {{- end -}}
{{- end -}}
{{- end -}}
