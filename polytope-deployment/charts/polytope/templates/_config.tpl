{{- /* The configuration of the server, and of each pool of workers. */ -}}

{{- /* Address of a back-end: that of the trial service if there is one. Takes root, name, given. */ -}}
{{- define "polytope.host" -}}
{{- if include "polytope.hasTrial" . -}}
{{- include "polytope.fullname" .root }}-{{ .name -}}
{{- else -}}
{{- required (printf "backends.%s.%s: say where the server is, or set trial.%s.enabled for a trial" .name .key .name) .given -}}
{{- end -}}
{{- end -}}

{{- define "polytope.mongodb" -}}
{{- if include "polytope.hasTrial" (dict "root" . "name" "mongodb") -}}
uri: mongodb://{{ include "polytope.fullname" . }}-mongodb:27017/?directConnection=true
{{- else }}
{{- $missing := "backends.mongodb.uri: say where the server is, or set trial.mongodb.enabled for a trial" }}
uri: {{ required $missing .Values.backends.mongodb.uri | quote }}
{{- end }}
{{- if or .Values.backends.mongodb.authentication .Values.trial.mongodb.enabled }}
username: $MONGODB_USERNAME
password: $MONGODB_PASSWORD
{{- end }}
{{- end -}}

{{- define "polytope.store" -}}
{{- if eq .Values.backends.store "mongodb" -}}
{{ include "polytope.mongodb" . }}
{{- else -}}
url: $POSTGRESQL_URL
{{- end -}}
{{- end -}}

{{- /* The same as JSON, with the database of this deployment. Requests have a collection instead. */ -}}
{{- define "polytope.ownDatabase" -}}
{{- $keys := fromYaml (include "polytope.store" .) -}}
{{- if eq .Values.backends.store "mongodb" -}}
{{- with .Values.backends.mongodb.database }}{{ $_ := set $keys "database" . }}{{ end -}}
{{- end -}}
{{ toJson $keys }}
{{- end -}}

{{- define "polytope.backendsConfig" -}}
{{- $b := .Values.backends -}}
{{- $type := ternary "mongodb" "sql" (eq $b.store "mongodb") -}}
request_store:
  {{ $type }}:
    {{- include "polytope.store" . | trim | nindent 4 }}
    {{- if eq $b.store "mongodb" }}
    collection: {{ $b.mongodb.collection | quote }}
    {{- end }}
metric_store:
  {{ $type }}: {{ include "polytope.ownDatabase" . }}
{{- include "polytope.usersConfig" (dict "type" $type "keys" (include "polytope.ownDatabase" .) "enabled" $b.users) }}
queue:
  rabbitmq:
    host: {{ include "polytope.host" (dict "root" . "name" "rabbitmq" "key" "host" "given" $b.rabbitmq.host) | quote }}
    port: {{ ternary 5672 ($b.rabbitmq.port | int) .Values.trial.rabbitmq.enabled }}
    virtual_host: {{ ternary "/" $b.rabbitmq.virtualHost .Values.trial.rabbitmq.enabled | quote }}
    user: $RABBITMQ_USERNAME
    password: $RABBITMQ_PASSWORD
    name: {{ $b.rabbitmq.name | quote }}
    {{- if and $b.rabbitmq.tls (not .Values.trial.rabbitmq.enabled) }}
    tls: true
    {{- end }}
{{- if eq $b.store "postgresql" }}
notices:
  postgresql:
    url: $POSTGRESQL_URL
{{- end }}
{{ include "polytope.stagingConfig" . }}
{{ include "polytope.cachingConfig" . }}
secrets:
  keys: [$POLYTOPE_KEY]
{{- with include "polytope.mostQueued" . | int }}
{{- if gt . 40 }}
deployment: {worker: {replicas: {{ . }}}}
{{- end }}
{{- end }}
{{- end -}}

{{- /* Users and API keys. Takes enabled, type, and keys of the back-end, which may be empty. */ -}}
{{- define "polytope.usersConfig" -}}
{{- if .enabled }}
{{- $keys := fromYaml .keys }}
identity:
  {{ .type }}: {{ merge (dict "realm" "users") $keys | toJson }}
api-keys:
  generator: {{ merge (dict "type" .type "allowed_realms" (list "users")) $keys | toJson }}
  authenticator: {{ merge (dict "type" .type) $keys | toJson }}
authentication:
  users:
    authenticators: {users: {{ merge (dict "type" .type) $keys | toJson }}}
    authorizers: {users: {{ merge (dict "type" .type) $keys | toJson }}}
# `users add NAME --role admin` makes an administrator.
admin:
  roles: {users: [admin]}
{{- end }}
{{- end -}}

{{- define "polytope.stagingConfig" -}}
staging:
{{- if eq .Values.backends.staging "objectStore" }}
  polytope:
    token: $OBJECT_STORE_TOKEN
    {{- with .Values.objectStore.quota }}
    quota: {{ . | quote }}
    {{- end }}
{{- else }}
  {{- $trial := .Values.trial.s3.enabled }}
  {{- with .Values.backends.s3 }}
  s3:
    {{- if $trial }}
    host: http://{{ include "polytope.fullname" $ }}-s3
    port: 8333
    {{- else }}
    {{- with .host }}
    host: {{ . | quote }}
    {{- end }}
    port: {{ .port }}
    {{- end }}
    bucket: {{ .bucket | quote }}
    {{- if or .authentication $trial }}
    access_key: $S3_ACCESS_KEY
    secret_key: $S3_SECRET_KEY
    {{- end }}
    {{- with .region }}
    region: {{ . | quote }}
    {{- end }}
    {{- with .publicUrl }}
    url: {{ . | quote }}
    use_presigned_url: true
    {{- end }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "polytope.cachingConfig" -}}
{{- $b := .Values.backends -}}
caching:
{{- if eq $b.cache "redis" }}
  redis:
    prefix: {{ include "polytope.cachePrefix" . }}
    host: {{ include "polytope.host" (dict "root" . "name" "redis" "key" "host" "given" $b.redis.host) | quote }}
    port: {{ ternary 6379 ($b.redis.port | int) .Values.trial.redis.enabled }}
    {{- if or $b.redis.authentication .Values.trial.redis.enabled }}
    password: $REDIS_PASSWORD
    {{- end }}
    {{- if and $b.redis.tls (not .Values.trial.redis.enabled) }}
    ssl: true
    {{- end }}
{{- else if eq $b.cache "memcached" }}
  memcached:
    prefix: {{ include "polytope.cachePrefix" . }}
    host: {{ required "backends.memcached.host: say where the server is" $b.memcached.host | quote }}
    port: {{ $b.memcached.port }}
{{- else if eq $b.cache "mongodb" }}
  mongodb:
    prefix: {{ include "polytope.cachePrefix" . }}
    {{- include "polytope.mongodb" . | trim | nindent 4 }}
{{- else }}
  memory: {}
{{- end }}
{{- end -}}

{{- /* Begins names in the cache: releases that share a server count their own calls. 64 characters at most. */ -}}
{{- define "polytope.cachePrefix" -}}
{{- printf "%s.%s" (include "polytope.fullname" .) .Release.Namespace | trunc 64 -}}
{{- end -}}

{{- /* As many requests must be in a queue as make all pods that a pool may have. */ -}}
{{- define "polytope.mostQueued" -}}
{{- $most := 0 -}}
{{- range fromYamlArray (include "polytope.pools" .) -}}
{{- if .autoscaling.enabled -}}
{{- $most = max $most (mul .autoscaling.maxReplicas .autoscaling.queueLength) -}}
{{- end -}}
{{- end -}}
{{- $most -}}
{{- end -}}

{{- /* Where a process serves probes. */ -}}
{{- define "polytope.managementConfig" -}}
management: {host: {{ .Values.bindTo | quote }}, port: {{ .Values.management.port }}}
{{- end -}}

{{- /* Where the object store listens, which its Service, policy and probes know. */ -}}
{{- define "polytope.ownObjectStoreConfig" -}}
staging:
  polytope:
    host: {{ include "polytope.fullname" . }}-object-store
    port: {{ .Values.objectStore.port }}
    bind_to: {{ .Values.bindTo | quote }}
    {{- include "polytope.managementConfig" . | nindent 4 }}
{{- end -}}

{{- /* What the chart itself must know: addresses and ports, and queues of collections. */ -}}
{{- define "polytope.ownConfig" -}}
frontend:
  bind_to: {{ .Values.bindTo | quote }}
  port: {{ .Values.frontend.port }}
  {{- include "polytope.managementConfig" . | nindent 2 }}
{{- if .Values.standalone.enabled }}
worker: {grace: {{ .Values.standalone.grace }}}
{{- else }}
{{- range list "broker" "worker" "garbage-collector" }}
{{ . }}:
  {{- include "polytope.managementConfig" $ | nindent 2 }}
{{- end }}
{{- if eq .Values.backends.staging "objectStore" }}
{{ include "polytope.ownObjectStoreConfig" . }}
{{- end }}
{{- $queues := dict -}}
{{- range fromYamlArray (include "polytope.pools" .) -}}
{{- $pool := . -}}
{{- range .collections }}{{ $_ := set $queues . (dict "queue" $pool.name) }}{{ end -}}
{{- end }}
{{- with $queues }}
collections: {{ toJson . }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* What an installer may change: several documents, of which later ones win. */ -}}
{{- define "polytope.config" -}}
# Back-ends, as the chart's values say.
{{ if .Values.standalone.enabled }}
{{- include "polytope.usersConfig" (dict "type" "sql" "keys" "{}" "enabled" .Values.backends.users) | trim | default "{}" }}
{{- else }}
{{- include "polytope.backendsConfig" . }}
{{- end }}
{{- if or .Values.ingress.enabled .Values.httpRoute.enabled }}
---
frontend: {proxy_support: true}
{{- end }}
---
# The value `config`.
{{ toYaml .Values.config }}
{{- end -}}

{{- /* All files of a process but those of pools and Secrets, as data of a ConfigMap. chart.yaml is read last. */ -}}
{{- define "polytope.configFiles" -}}
config.yaml: |
  {{- include "polytope.config" . | nindent 2 }}
# Probes, Services and policies rely on it: whatever other files say.
chart.yaml: |
  {{- include "polytope.ownConfig" . | nindent 2 }}
{{- end -}}

{{- /* What of that matters to the object store, which need not restart for other changes. */ -}}
{{- define "polytope.objectStoreText" -}}
{{ include "polytope.stagingConfig" . }}
{{ toYaml (pick .Values.config "staging" "logging") }}
{{ include "polytope.ownObjectStoreConfig" . }}
{{- end -}}

{{- /* The file of a pool. Takes root, pool. */ -}}
{{- define "polytope.poolConfig" -}}
{{ toYaml .pool.config }}
---
worker:
  concurrency: {{ .pool.concurrency }}
  grace: {{ .pool.grace }}
  {{- with fromYamlArray (include "polytope.queuesOf" .) }}
  queues: {{ toJson . }}
  {{- end }}
{{- end -}}
