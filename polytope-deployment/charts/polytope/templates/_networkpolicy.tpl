{{- /*
What the pods of one component may do besides nothing. Takes root, component, and perhaps pool; backends, names of those
that it calls; egress, further rules; from, who calls it: `frontend` (as networkPolicy.frontendFrom says) or `server`
(the other processes and further `peers`) at the `port` of this name.
*/ -}}
{{- define "polytope.policy" -}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- $suffix := ternary (printf "worker-%s" .pool) .component (hasKey . "pool") }}
  {{- include "polytope.metadata" (dict "root" .root "name" (printf "%s-%s" (include "polytope.fullname" .root) $suffix) "component" .component) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "polytope.componentSelector" . | nindent 6 }}
  policyTypes: [{{ if .from }}Ingress, {{ end }}Egress]
  {{- if .from }}
  ingress:
    {{- if eq .from "frontend" }}
    - ports:
        - {port: http, protocol: TCP}
      {{- with .root.Values.networkPolicy.frontendFrom }}
      from:
        {{- toYaml . | nindent 8 }}
        # `helm test`
        - podSelector:
            matchLabels:
              {{- include "polytope.componentSelector" (dict "root" $.root "component" "test") | nindent 14 }}
      {{- end }}
    {{- else }}
    - from:
        - podSelector:
            matchLabels:
              {{- include "polytope.selector" .root | nindent 14 }}
              polytope-server/metrics: "true"
        {{- with .peers }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - {port: {{ .port }}, protocol: TCP}
    {{- end }}
  {{- end }}
  {{- $rules := .egress | default list }}
  {{- range .backends }}
  {{- $rules = concat $rules (fromYamlArray (include "polytope.egressTo" (dict "root" $.root "name" .))) }}
  {{- end }}
  {{- with $rules }}
  egress:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- /* Rules that let out to a back-end, as a YAML list. Takes root, name. */ -}}
{{- define "polytope.egressTo" -}}
{{- $values := .root.Values -}}
{{- if eq .name "object-store" }}
- to:
    - podSelector:
        matchLabels:
          {{- include "polytope.componentSelector" (dict "root" .root "component" .name) | nindent 10 }}
  ports:
    - {port: http, protocol: TCP}
{{- else if and (hasKey $values.trial .name) (include "polytope.hasTrial" .) }}
- to:
    - podSelector:
        matchLabels:
          {{- include "polytope.componentSelector" (dict "root" .root "component" (printf "trial-%s" .name)) | nindent 10 }}
  ports:
    - {port: {{ .name }}, protocol: TCP}
{{- else }}
{{- $rule := index $values.networkPolicy.backends .name }}
- ports:
    {{- range $rule.ports | default (include "polytope.portsOf" . | splitList " ") }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with $rule.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- /* The ports of a server outside of the release, as `backends` has them, between blanks. Takes root, name. */ -}}
{{- define "polytope.portsOf" -}}
{{- $given := .root.Values.backends -}}
{{- if eq .name "mongodb" -}}
{{- $hosts := regexReplaceAll "^[a-z+]+://|[/?].*$" $given.mongodb.uri "" -}}
{{- $ports := list -}}
{{- range splitList "," $hosts -}}
{{- $ports = append $ports (regexFind "[0-9]+$" (regexFind ":[0-9]+$" .) | default "27017") -}}
{{- end -}}
{{- $ports | uniq | join " " -}}
{{- else if eq .name "postgresql" -}}
5432
{{- else if eq .name "s3" -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" (trimSuffix "/" $given.s3.host)) | default (toString $given.s3.port) -}}
{{- else -}}
{{- (index $given .name).port -}}
{{- end -}}
{{- end -}}
