{{/* Names, labels and what every container has in common. */}}

{{- define "dormouse.fullname" -}}
{{- $name := .Values.nameOverride | default .Release.Name -}}
{{- /* The longest name made of it is a load test's job, which may have 63. */}}
{{- if gt (len $name) 38 }}{{ fail "the release's name may have 38 characters; nameOverride can shorten it" }}{{ end -}}
{{- $name -}}
{{- end }}

{{/* (dict "root" $ "component" "edge") */}}
{{- define "dormouse.selector" -}}
app.kubernetes.io/name: dormouse
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* A pod's: nothing that a new version of the chart or of the images would change. */}}
{{- define "dormouse.podLabels" -}}
{{ include "dormouse.selector" . }}
{{- with omit .root.Values.pods.labels "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "dormouse.labels" -}}
{{ include "dormouse.podLabels" . }}
app.kubernetes.io/version: {{ include "dormouse.tag" .root | trunc 63 | trimSuffix "-" | trimSuffix "." | trimSuffix "_" | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: dormouse
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* (dict "root" $ "part" "agent-fn") */}}
{{- define "dormouse.image" -}}
{{- with .root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
dormouse-{{ .part }}:{{ include "dormouse.tag" .root }}
{{- end }}

{{/* A file's number is a float to Helm: 20261120 would become 2.026112e+07. */}}
{{- define "dormouse.tag" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- kindIs "float64" $tag | ternary (int64 $tag) $tag -}}
{{- end }}

{{/* The "restricted" pod security standard; the image's own user. */}}
{{- define "dormouse.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* A pod's annotations, the chart's own last: (dict "root" $ "own" dict) */}}
{{- define "dormouse.podAnnotations" -}}
{{- with mergeOverwrite (deepCopy .root.Values.pods.annotations) (.own | default dict) }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Where a pod goes, and before whom: its component's own words, else those for all. (dict "root" $ "values" dict) */}}
{{- define "dormouse.placement" -}}
{{- $own := .values | default dict }}
{{- $all := .root.Values.pods }}
{{- with $own.priorityClass | default $all.priorityClass }}
priorityClassName: {{ . }}
{{- end }}
{{- with $own.nodeSelector | default $all.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat ($own.tolerations | default list) $all.tolerations | uniq }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
A job, which cannot be changed: its name follows what it does, so that whatever changes in it makes another one.
(dict "root" $ "component" "preload" "name" "dm-preload" "annotations" dict "spec" text)
*/}}
{{- define "dormouse.job" -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .name }}-{{ .spec | sha256sum | trunc 8 }}
  labels: {{- include "dormouse.labels" . | nindent 4 }}
  {{- with .annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec: {{- .spec | nindent 2 }}
{{- end }}

{{- define "dormouse.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "dormouse.keysSecret" -}}
{{ .Values.keys.existingSecret | default (printf "%s-keys" (include "dormouse.fullname" .)) }}
{{- end }}

{{- define "dormouse.postgresSecret" -}}
{{- if .Values.postgres.trial.enabled -}}
{{ include "dormouse.fullname" . }}-postgres
{{- else -}}
{{ required "postgres.existingSecret names the Secret with the database's URLs (or set postgres.trial.enabled)" .Values.postgres.existingSecret }}
{{- end -}}
{{- end }}

{{- define "dormouse.redisSecret" -}}
{{- if .Values.redis.trial.enabled -}}
{{ include "dormouse.fullname" . }}-redis
{{- else -}}
{{ required "redis.existingSecret names the Secret with Redis' URL (or set redis.trial.enabled)" .Values.redis.existingSecret }}
{{- end -}}
{{- end }}

{{/* Where Ollama's protocol is spoken. */}}
{{- define "dormouse.ollamaUrl" -}}
{{- if .Values.modelServer.enabled -}}
http://{{ include "dormouse.fullname" . }}-model-server:11434
{{- else if .Values.ollama.enabled -}}
http://{{ include "dormouse.fullname" . }}-ollama:11434
{{- else -}}
{{ required "ollama.url says where Ollama is, where this chart runs none" .Values.ollama.url }}
{{- end -}}
{{- end }}

{{/* Whether Ollama sleeps while nobody needs a model; empty: no. */}}
{{- define "dormouse.modelsSleep" -}}
{{- if and .Values.ollama.enabled .Values.ollama.scaleToZero.enabled (not .Values.modelServer.enabled) }}true{{ end }}
{{- end }}

{{/* What the pods carry that say whether models are needed: the edge's, also those that a release tries. */}}
{{- define "dormouse.demandLabel" -}}
dormouse/tells-model-demand: "true"
{{- end }}

{{/* A function's address inside of the cluster: Knative's ingress wakes it. (dict "root" $ "name" "agent-fn") */}}
{{- define "dormouse.functionTarget" -}}
dns:///{{ include "dormouse.fullname" .root }}-{{ .name }}.{{ .root.Release.Namespace }}.svc.cluster.local:80
{{- end }}

{{- define "dormouse.postgresEnv" -}}
- name: DORMOUSE_POSTGRES_URL
  valueFrom: {secretKeyRef: {name: {{ include "dormouse.postgresSecret" . }}, key: {{ .Values.postgres.trial.enabled | ternary "url" .Values.postgres.urlKey }}}}
{{- end }}

{{- define "dormouse.postgresMount" -}}
{{- if .Values.postgres.certificates }}
- {name: postgres-certificates, mountPath: /etc/dormouse/postgres, readOnly: true}
{{- end }}
{{- end }}

{{- define "dormouse.postgresVolume" -}}
{{- with .Values.postgres.certificates }}
- name: postgres-certificates
  configMap: {name: {{ . }}, items: [{key: ca.pem, path: ca.pem}]}
{{- end }}
{{- end }}

{{- define "dormouse.telemetryEnv" -}}
{{- with .Values.telemetry.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- end }}

{{/* The chart's variables (a text of a YAML list) and those of a value: (dict "chart" text "own" dict "where" "edge.env") */}}
{{- define "dormouse.env" -}}
{{- $where := .where }}
{{- $own := .own }}
{{- range .chart | fromYamlArray }}
{{- if hasKey $own .name }}{{ fail (printf "%s: %s is the chart's to set" $where .name) }}{{ end }}
{{- end }}
{{- .chart }}
{{- include "dormouse.variables" $own }}
{{- end }}

{{/* Variables of a map, sorted by name. */}}
{{- define "dormouse.variables" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}

{{- define "dormouse.envFrom" -}}
{{- $telemetry := .root.Values.telemetry.existingSecret }}
{{- if or .own $telemetry }}
envFrom:
  {{- with .own }}{{ toYaml . | nindent 2 }}{{ end }}
  {{- with $telemetry }}
  - secretRef: {name: {{ . }}}
  {{- end }}
{{- end }}
{{- end }}

{{- define "dormouse.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "dormouse.fullname" .root }}-{{ .component }}
  labels: {{- include "dormouse.labels" . | nindent 4 }}
  {{- with .annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
# Nothing here speaks to the API server; workload identity brings tokens of its own.
automountServiceAccountToken: false
{{- end }}
