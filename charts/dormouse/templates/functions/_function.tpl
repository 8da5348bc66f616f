{{/* A function: (dict "root" $ "name" "agent-fn" "values" … "env" … "volumes" … "mounts" …), texts of YAML lists. */}}
{{- define "dormouse.function" -}}
{{- $root := .root }}
{{- $values := mergeOverwrite (deepCopy $root.Values.functions.defaults) .values }}
{{- $scope := dict "root" $root "component" .name "annotations" $values.serviceAccountAnnotations }}
{{- $name := printf "%s-%s" (include "dormouse.fullname" $root) .name }}
{{- if and $values.maxScale (lt (int $values.maxScale) (int $values.minScale)) }}{{ fail (printf "functions: maxScale of %s is below its minScale" .name) }}{{ end }}
{{- /* Knative's proxy waits half a minute for late calls before it lets the function know of its end. */}}
{{- if gt (add $values.drainSeconds 35) (int64 $values.timeoutSeconds) }}{{ fail (printf "functions: drainSeconds of %s must be at least 35 below its timeoutSeconds, after which it is killed" .name) }}{{ end }}
{{ include "dormouse.serviceAccount" $scope }}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: {{ $name }}
  labels:
    {{- include "dormouse.labels" $scope | nindent 4 }}
    networking.knative.dev/visibility: cluster-local
spec:
  template:
    metadata:
      labels: {{- include "dormouse.podLabels" $scope | nindent 8 }}
      annotations:
        {{- with $root.Values.pods.annotations }}{{ toYaml . | nindent 8 }}{{ end }}
        autoscaling.knative.dev/min-scale: {{ $values.minScale | quote }}
        autoscaling.knative.dev/max-scale: {{ $values.maxScale | quote }}
        autoscaling.knative.dev/metric: concurrency
        autoscaling.knative.dev/target-utilization-percentage: {{ $values.targetUtilization | quote }}
        autoscaling.knative.dev/window: {{ $values.window | quote }}
        autoscaling.knative.dev/scale-to-zero-pod-retention-period: {{ $values.retention | quote }}
        # A new Secret or configuration means a new revision.
        checksum/configuration: {{ toJson .configuration | sha256sum | trunc 16 | quote }}
    spec:
      serviceAccountName: {{ $name }}
      {{- include "dormouse.pullSecrets" $root | nindent 6 }}
      containerConcurrency: {{ $values.concurrency }}
      timeoutSeconds: {{ $values.timeoutSeconds }}
      # A tool may be silent for long, a stream while its model thinks: Knative's own defaults would cut them off.
      responseStartTimeoutSeconds: {{ $values.timeoutSeconds }}
      idleTimeoutSeconds: 0
      containers:
        - name: function
          image: {{ include "dormouse.image" (dict "root" $root "part" .name) }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          securityContext: {{- include "dormouse.containerSecurity" $root | nindent 12 }}
          ports:
            - {name: h2c, containerPort: 8080}
          readinessProbe:
            grpc: {port: 8080}
            periodSeconds: 1
            # Counts once it has started: an instance that says nothing for ten seconds gets no calls.
            failureThreshold: 10
          livenessProbe:
            grpc: {port: 8080}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          resources: {{- toYaml $values.resources | nindent 12 }}
          env: {{- include "dormouse.env" (dict "where" (printf "functions.%s.env" (trimSuffix "-fn" .name)) "own" $values.env "chart" (include "dormouse.functionEnv" (dict "root" $root "values" $values "env" .env))) | nindent 12 }}
          {{- include "dormouse.envFrom" (dict "root" $root "own" $values.envFrom) | nindent 10 }}
          volumeMounts:
            - {name: trusted, mountPath: /etc/dormouse/trusted, readOnly: true}
            {{- include "dormouse.postgresMount" $root | nindent 12 }}
            {{- with .mounts }}{{ . | nindent 12 }}{{ end }}
      volumes:
        - name: trusted
          secret:
            secretName: {{ include "dormouse.keysSecret" $root }}
            items: [{key: trusted-keys.json, path: trusted-keys.json}]
        {{- include "dormouse.postgresVolume" $root | nindent 8 }}
        {{- with .volumes }}{{ . | nindent 8 }}{{ end }}
      {{- with $values.priorityClass }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}

{{/* (dict "root" $ "values" dict "env" text) */}}
{{- define "dormouse.functionEnv" -}}
{{ include "dormouse.postgresEnv" .root }}
- {name: DORMOUSE_TRUSTED_KEYS, value: /etc/dormouse/trusted/trusted-keys.json}
- {name: DORMOUSE_DRAIN_S, value: {{ .values.drainSeconds | quote }}}
{{- include "dormouse.telemetryEnv" .root }}
{{ .env }}
{{- end }}
