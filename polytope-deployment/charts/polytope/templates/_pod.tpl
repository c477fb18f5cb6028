{{- /* The pods of the server's processes. */ -}}

{{- define "polytope.podSecurityContext" -}}
runAsNonRoot: true
{{- with .Values.securityContext.runAsUser }}
runAsUser: {{ . | int64 }}
{{- end }}
{{- with .Values.securityContext.runAsGroup }}
runAsGroup: {{ . | int64 }}
fsGroup: {{ . | int64 }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "polytope.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: {{ .Values.securityContext.readOnlyRootFilesystem }}
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* What every pod of the release has, whatever runs in it. */ -}}
{{- define "polytope.podBasics" -}}
automountServiceAccountToken: false
# Otherwise each Service of the namespace becomes variables, one called RABBITMQ_PORT among them.
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "polytope.podSecurityContext" . | nindent 2 }}
{{- end -}}

{{- /* The volume for /tmp, of every pod. A volume without a size could fill the disk of the node. */ -}}
{{- define "polytope.tmp" -}}
name: tmp
emptyDir:
  {{- with .Values.tmp.sizeLimit }}
  sizeLimit: {{ . }}
  {{- else }} {}
  {{- end }}
{{- end -}}

{{- /* Labels by which the pods of a component are found. Takes root, component, and perhaps pool. */ -}}
{{- define "polytope.componentSelector" -}}
{{ include "polytope.selector" .root }}
app.kubernetes.io/component: {{ .component }}
{{- with .pool }}
polytope-server/pool: {{ . }}
{{- end }}
{{- end -}}

{{- /* Variables of Secrets; those of the release itself are in one called `own`. Takes root, own. */ -}}
{{- define "polytope.envFrom" -}}
{{- if fromYaml (include "polytope.secretData" .root) }}
- secretRef: {name: {{ .own }}}
{{- end }}
{{- range .root.Values.secrets.existing }}
- secretRef: {name: {{ . }}}
{{- end }}
{{- end -}}

{{- /* Takes a list of variables. Each may be there once: of two the later counts. */ -}}
{{- define "polytope.env" -}}
{{- $names := list -}}
{{- $found := dict -}}
{{- range . -}}
{{- $names = append (without $names .name) .name -}}
{{- $_ := set $found .name . -}}
{{- end -}}
{{- range $names }}
- {{ get $found . | toJson }}
{{- end }}
{{- end -}}

{{- define "polytope.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: management}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 90
livenessProbe:
  httpGet: {path: /livez, port: management}
  periodSeconds: 10
  timeoutSeconds: 10
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: management}
  periodSeconds: 3
  timeoutSeconds: 5
  # A store that is away makes all frontends unready: they can answer that themselves, while it finds a new primary.
  failureThreshold: 10
{{- end -}}

{{- /* Which files a process reads after config.yaml; later ones win. Takes root, pool (whether it is of one). */ -}}
{{- define "polytope.furtherFiles" -}}
{{- $secret := ternary .root.Values.existingSecretConfig.files list (ne .root.Values.existingSecretConfig.name "") -}}
{{- range $secret }}/etc/polytope/secrets/{{ . }}:{{ end -}}
{{- if .pool }}/etc/polytope/pool/pool.yaml:{{ end -}}
/etc/polytope/chart.yaml
{{- end -}}

{{- /* On which nodes a pod may run. Takes the values of a component. */ -}}
{{- define "polytope.placement" -}}
{{- range $key := list "nodeSelector" "tolerations" "affinity" }}
{{- with index $ $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- /* The same for pods of no component: as for those that answer the calls. Takes root. */ -}}
{{- define "polytope.placementOfOthers" -}}
{{- include "polytope.placement" (ternary .Values.standalone .Values.frontend .Values.standalone.enabled) -}}
{{- end -}}

{{- define "polytope.scheduling" -}}
{{- include "polytope.placement" .values }}
topologySpreadConstraints:
{{- if kindIs "slice" .values.topologySpreadConstraints }}
  {{- toYaml .values.topologySpreadConstraints | nindent 2 }}
{{- else }}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "polytope.componentSelector" $ | nindent 8 }}
{{- end }}
{{- end }}
{{- end -}}

{{- /*
The template of a pod. Takes root; component and perhaps pool; values (of the component); process (the subcommand);
image; seconds of termination; config (the ConfigMap) and its text; and perhaps poolConfig (a second ConfigMap and its
text), port (of the service), preStop (seconds), claim (of a volume for data).
*/ -}}
{{- define "polytope.podTemplate" -}}
{{- $root := .root -}}
{{- $secretConfig := $root.Values.existingSecretConfig.name -}}
metadata:
  labels:
    {{- include "polytope.componentSelector" . | nindent 4 }}
    polytope-server/metrics: "true"
    {{- with merge (deepCopy .values.podLabels) .root.Values.commonLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # A pod reads its configuration when it starts: another configuration makes other pods.
    checksum/config: {{ printf "%s%s" .text (.poolText | default "") | sha256sum }}
    checksum/secrets: {{ toJson $root.Values.secrets.values | sha256sum }}
    {{- with .values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "polytope.serviceAccountName" .root }}
  {{- include "polytope.podBasics" .root | nindent 2 }}
  terminationGracePeriodSeconds: {{ .termination }}
  {{- include "polytope.scheduling" . | nindent 2 }}
  containers:
    - name: {{ .process }}
      image: {{ include "polytope.image" (dict "root" .root "image" .image) }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args: [{{ .process }}]
      env:
        # Files not by -f: so `polytope-server users` and others that run in the pod read the same.
        {{- include "polytope.env" (concat (list
            (dict "name" "POLYTOPE_CONFIG_FILES" "value" (include "polytope.furtherFiles" (dict "root" .root "pool" .poolConfig)))
            (dict "name" "POLYTOPE_MANAGEMENT_PORT" "value" (toString .root.Values.management.port))
            (dict "name" "POLYTOPE_DATA" "value" (ternary "/data" "/tmp/polytope" (hasKey . "claim")))
            (dict "name" "HOME" "value" "/tmp")) .root.Values.extraEnv .values.extraEnv) | trim | nindent 8 }}
      {{- with include "polytope.envFrom" (dict "root" .root "own" (include "polytope.secretName" .root)) }}
      envFrom:
        {{- . | nindent 8 }}
      {{- end }}
      ports:
        {{- with .port }}
        - {name: http, containerPort: {{ . }}, protocol: TCP}
        {{- end }}
        - {name: management, containerPort: {{ .root.Values.management.port }}, protocol: TCP}
      {{- include "polytope.probes" . | nindent 6 }}
      {{- with .preStop }}
      lifecycle:
        # `sleep` of Kubernetes itself needs 1.30.
        preStop: {exec: {command: [sleep, {{ . | quote }}]}}
      {{- end }}
      resources:
        {{- toYaml .values.resources | nindent 8 }}
      securityContext:
        {{- include "polytope.containerSecurityContext" .root | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/polytope/config.yaml, subPath: config.yaml, readOnly: true}
        - {name: config, mountPath: /etc/polytope/chart.yaml, subPath: chart.yaml, readOnly: true}
        {{- if .poolConfig }}
        - {name: pool, mountPath: /etc/polytope/pool, readOnly: true}
        {{- end }}
        {{- if $secretConfig }}
        - {name: secrets, mountPath: /etc/polytope/secrets, readOnly: true}
        {{- end }}
        - {name: tmp, mountPath: /tmp}
        {{- if hasKey . "claim" }}
        - {name: data, mountPath: /data}
        {{- end }}
        {{- with concat .root.Values.extraVolumeMounts .values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ .config }}}
    {{- with .poolConfig }}
    - name: pool
      configMap: {name: {{ . }}}
    {{- end }}
    {{- with $secretConfig }}
    - name: secrets
      secret: {secretName: {{ . }}, defaultMode: 0440}
    {{- end }}
    - {{- include "polytope.tmp" .root | nindent 6 }}
    {{- if hasKey . "claim" }}
    - name: data
      persistentVolumeClaim: {claimName: {{ .claim }}}
    {{- end }}
    {{- with concat .root.Values.extraVolumes .values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
