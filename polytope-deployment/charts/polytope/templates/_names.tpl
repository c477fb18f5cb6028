{{- define "polytope.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* The names of all objects begin with it. 40 characters leave room for what is added. */ -}}
{{- define "polytope.fullname" -}}
{{- $name := include "polytope.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- $full = .Values.fullnameOverride | default $full -}}
{{- if gt (len $full) 40 -}}
{{- /* Two that differ in their ends only must not become one. */ -}}
{{- $full = printf "%s-%s" ($full | trunc 33 | trimSuffix "-") (sha256sum $full | trunc 6) -}}
{{- end -}}
{{- trimSuffix "-" $full -}}
{{- end -}}

{{- /* Labels by which the pods of this release are found; they never change. */ -}}
{{- define "polytope.selector" -}}
app.kubernetes.io/name: {{ include "polytope.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "polytope.labels" -}}
{{ include "polytope.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* metadata of an object. Takes root, name, and perhaps component, annotations. */ -}}
{{- define "polytope.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "polytope.labels" .root | nindent 2 }}
  {{- with .component }}
  app.kubernetes.io/component: {{ . }}
  {{- end }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* Takes root and the image's values. */ -}}
{{- define "polytope.image" -}}
{{- $registry := .root.Values.image.registry -}}
{{- with $registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion -}}
{{- end -}}

{{- define "polytope.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "polytope.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "polytope.secretName" -}}{{ include "polytope.fullname" . }}-secrets{{- end -}}
{{- define "polytope.configName" -}}{{ include "polytope.fullname" . }}-config{{- end -}}

{{- /* Whether a trial service of this name runs in the release. Takes root and name. */ -}}
{{- define "polytope.hasTrial" -}}
{{- if and (not .root.Values.standalone.enabled) (index .root.Values.trial .name).enabled -}}true{{- end -}}
{{- end -}}
