{{- /* Deployments, claims and budgets of components. */ -}}

{{- /*
A Deployment. Takes what `polytope.podTemplate` takes, and name; replicas, or scaled if something else sees to them;
and recreate for what must not run twice.
*/ -}}
{{- define "polytope.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "polytope.metadata" (dict "root" .root "name" .name "component" .component) | nindent 2 }}
spec:
  {{- if not .scaled }}
  replicas: {{ .replicas }}
  {{- end }}
  {{- if .recreate }}
  strategy: {type: Recreate}
  {{- else }}
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxSurge: 25%, maxUnavailable: 0}
  {{- end }}
  selector:
    matchLabels:
      {{- include "polytope.componentSelector" . | nindent 6 }}
  template:
    {{- include "polytope.podTemplate" . | nindent 4 }}
{{- with .values.podDisruptionBudget }}
{{- if .enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "polytope.metadata" (dict "root" $.root "name" $.name "component" $.component) | nindent 2 }}
spec:
  maxUnavailable: {{ .maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "polytope.componentSelector" $ | nindent 6 }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* A claim. Takes root, name, component, persistence. */ -}}
{{- define "polytope.claim" -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  {{- $annotations := ternary (dict "helm.sh/resource-policy" "keep") dict (.persistence.retain | default false) }}
  {{- include "polytope.metadata" (dict "root" .root "name" .name "component" .component "annotations" $annotations) | nindent 2 }}
spec:
  accessModes: [ReadWriteOnce]
  {{- with .persistence.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests: {storage: {{ .persistence.size }}}
{{- end -}}
