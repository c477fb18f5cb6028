{{- /* Names of the variables that the chart makes at random if `secrets.values` does not have them. */ -}}
{{- define "polytope.generatedNames" -}}
{{- $names := .Values.secrets.generated -}}
{{- $trial := dict
      "mongodb" (list "MONGODB_PASSWORD")
      "rabbitmq" (list "RABBITMQ_PASSWORD")
      "redis" (list "REDIS_PASSWORD")
      "s3" (list "S3_ACCESS_KEY" "S3_SECRET_KEY") -}}
{{- range $service, $variables := $trial -}}
{{- if include "polytope.hasTrial" (dict "root" $ "name" $service) }}{{ $names = concat $names $variables }}{{ end -}}
{{- end -}}
{{ toYaml (uniq $names) }}
{{- end -}}

{{- /* All variables of the release's Secret as a YAML mapping of name and value in base64. */ -}}
{{- define "polytope.secretData" -}}
{{- $kept := (lookup "v1" "Secret" .Release.Namespace (include "polytope.secretName" .)).data | default dict -}}
{{- $data := dict -}}
{{- range fromYamlArray (include "polytope.generatedNames" .) -}}
{{- $_ := set $data . (get $kept . | default (randAlphaNum 48 | b64enc)) -}}
{{- end -}}
{{- range $service := list "mongodb" "rabbitmq" -}}
{{- if include "polytope.hasTrial" (dict "root" $ "name" $service) -}}
{{- $_ := set $data (printf "%s_USERNAME" (upper $service)) (b64enc "polytope") -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := .Values.secrets.values -}}
{{- $_ := set $data $name (toString $value | b64enc) -}}
{{- end -}}
{{ toYaml $data }}
{{- end -}}

{{- /* The variables without which a back-end refuses the server, as a YAML list. */ -}}
{{- define "polytope.neededNames" -}}
{{- $b := .Values.backends -}}
{{- $names := list "POLYTOPE_KEY" "RABBITMQ_USERNAME" "RABBITMQ_PASSWORD" -}}
{{- if eq $b.store "postgresql" }}{{ $names = append $names "POSTGRESQL_URL" }}{{ end -}}
{{- if and (has "mongodb" (list $b.store $b.cache)) $b.mongodb.authentication -}}
{{- $names = concat $names (list "MONGODB_USERNAME" "MONGODB_PASSWORD") -}}
{{- end -}}
{{- if eq $b.staging "objectStore" -}}
{{- $names = append $names "OBJECT_STORE_TOKEN" -}}
{{- else if $b.s3.authentication -}}
{{- $names = concat $names (list "S3_ACCESS_KEY" "S3_SECRET_KEY") -}}
{{- end -}}
{{- if and (eq $b.cache "redis") $b.redis.authentication }}{{ $names = append $names "REDIS_PASSWORD" }}{{ end -}}
{{ toYaml $names }}
{{- end -}}

{{- /* Refuses a secret that would stand in a ConfigMap. Takes path, value, secret (whether its key is one). */ -}}
{{- define "polytope.checkClearText" -}}
{{- if kindIs "map" .value -}}
{{- range $key, $inner := .value -}}
{{- $secret := or $.secret (regexMatch "^key$|(^|[_-])(password|secret|token|api[_-]?key|(secret|access)[_-]key|authorization)$" (lower $key)) -}}
{{- include "polytope.checkClearText" (dict "path" (printf "%s.%s" $.path $key) "value" $inner "secret" (or $secret (hasSuffix "config.secrets" $.path))) -}}
{{- end -}}
{{- else if kindIs "slice" .value -}}
{{- range $number, $inner := .value -}}
{{- include "polytope.checkClearText" (dict "path" (printf "%s[%d]" $.path $number) "value" $inner "secret" $.secret) -}}
{{- end -}}
{{- else if kindIs "string" .value -}}
{{- if or (and .secret .value (not (contains "$" .value))) (regexMatch "://[^/@\\s$]*:[^/@\\s$]+@" .value) -}}
{{- fail (printf "%s: a secret in clear text, which would be in a ConfigMap; write $NAME and give NAME in secrets.values or an existing Secret, or put it into a file of existingSecretConfig" .path) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Refuses to install a server that could not log in. What is in Secrets of others cannot be seen here. */ -}}
{{- define "polytope.checkSecrets" -}}
{{- if not (or .Values.secrets.existing .Values.existingSecretConfig.name .Values.standalone.enabled) -}}
{{- $data := fromYaml (include "polytope.secretData" .) -}}
{{- range .Values.extraEnv }}{{ $_ := set $data .name "" }}{{ end -}}
{{- range fromYamlArray (include "polytope.neededNames" .) -}}
{{- if not (hasKey $data .) -}}
{{- fail (printf "secrets: the back-ends need %s; give it in secrets.values, or name a Secret that has it in secrets.existing" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
