{{- /* Pools of workers, and which queues they serve. */ -}}

{{- /* All pools as a YAML list, each with all keys. */ -}}
{{- define "polytope.pools" -}}
{{- $pools := list -}}
{{- range .Values.workers -}}
{{- $pools = append $pools (mustMergeOverwrite (deepCopy $.Values.workerDefaults) .) -}}
{{- end -}}
{{ toYaml $pools }}
{{- end -}}

{{- /* The queue of a data source, by its own or inherited key. Takes config, name. */ -}}
{{- define "polytope.queueOfSource" -}}
{{- $source := dict -}}
{{- if kindIs "map" .config.datasources }}{{ $source = get .config.datasources (toString .name) }}{{ end -}}
{{- if kindIs "map" $source -}}
{{- $found := $source.queue | default "" -}}
{{- if and (not $found) (kindIs "slice" $source.parents) -}}
{{- range $source.parents -}}
{{- $found = include "polytope.queueOfSource" (dict "config" $.config "name" .) | default $found -}}
{{- end -}}
{{- end -}}
{{- $found -}}
{{- end -}}
{{- end -}}

{{- /* All queues that `config` names, with a collection that uses each, as a YAML mapping. */ -}}
{{- define "polytope.allQueues" -}}
{{- $own := dict -}}
{{- range $pool := fromYamlArray (include "polytope.pools" .) -}}
{{- range $pool.collections -}}
{{- if hasKey $own . -}}
{{- fail (printf "workers: collection %q is in two pools, %s and %s; name a queue in the configuration and give both `queues`" . (get $own .) $pool.name) -}}
{{- end -}}
{{- $_ := set $own . $pool.name -}}
{{- end -}}
{{- end -}}
{{- $queues := dict -}}
{{- /* What is no collection and no data source, the server itself tells better. */ -}}
{{- $collections := ternary .Values.config.collections dict (kindIs "map" .Values.config.collections) -}}
{{- range $name, $collection := $collections -}}
{{- if and (kindIs "map" $collection) (kindIs "slice" $collection.datasources) -}}
{{- $default := get $own $name | default $collection.queue | default "default" -}}
{{- range $collection.datasources -}}
{{- $source := ternary . (dict "name" .) (kindIs "map" .) -}}
{{- $inherited := include "polytope.queueOfSource" (dict "config" $.Values.config "name" $source.name) -}}
{{- $_ := set $queues ($source.queue | default $inherited | default $default) $name -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{ toYaml $queues }}
{{- end -}}

{{- /* The queues that pools name themselves, as a YAML list. */ -}}
{{- define "polytope.namedQueues" -}}
{{- $queues := list -}}
{{- range fromYamlArray (include "polytope.pools" .) -}}
{{- $queues = concat $queues .queues -}}
{{- if .collections }}{{ $queues = append $queues .name }}{{ end -}}
{{- end -}}
{{ toYaml (uniq $queues) }}
{{- end -}}

{{- /* The queues of a pool as a YAML list; empty stands for all. Takes root, pool. */ -}}
{{- define "polytope.queuesOf" -}}
{{- $named := fromYamlArray (include "polytope.namedQueues" .root) -}}
{{- $queues := .pool.queues -}}
{{- if .pool.collections -}}
{{- $queues = append $queues .pool.name -}}
{{- else if and (not $queues) $named -}}
{{- $queues = without (keys (fromYaml (include "polytope.allQueues" .root)) | sortAlpha) "" -}}
{{- range $named }}{{ $queues = without $queues . }}{{ end -}}
{{- $queues = $queues | default (list "default") -}}
{{- end -}}
{{ toYaml (uniq $queues) }}
{{- end -}}

{{- /* Refuses a configuration in which requests would wait for ever. */ -}}
{{- define "polytope.checkPools" -}}
{{- if dig "worker" "queues" "" .Values.config -}}
{{- fail "config.worker.queues: say it for each pool, as workers[].queues" -}}
{{- end -}}
{{- $pools := fromYamlArray (include "polytope.pools" .) -}}
{{- $names := list -}}
{{- $open := false -}}
{{- range $pools -}}
{{- if has .name $names }}{{ fail (printf "workers: two pools are called %q" .name) }}{{ end -}}
{{- $names = append $names .name -}}
{{- if not (or .queues .collections) }}{{ $open = true }}{{ end -}}
{{- if and .collections (eq .name "default") -}}
{{- fail "workers: a pool with `collections` has a queue of its name, which cannot be `default`: that is the queue of all others" -}}
{{- end -}}
{{- range .collections -}}
{{- if not (or $.Values.existingSecretConfig.name (and (kindIs "map" $.Values.config.collections) (hasKey $.Values.config.collections .))) -}}
{{- fail (printf "workers: there is no collection %q in config.collections" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $named := fromYamlArray (include "polytope.namedQueues" .) -}}
{{- range $queue, $collection := fromYaml (include "polytope.allQueues" .) -}}
{{- if not (or $open (has $queue $named)) -}}
{{- fail (printf "workers: no pool serves the queue %q of the collection %q" $queue $collection) -}}
{{- end -}}
{{- end -}}
{{- end -}}
