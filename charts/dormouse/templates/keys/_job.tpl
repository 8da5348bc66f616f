{{/* The pod that makes and renews keys. */}}
{{- define "dormouse.keysPod" -}}
restartPolicy: OnFailure
serviceAccountName: {{ include "dormouse.fullname" .root }}-keys
enableServiceLinks: false
{{- include "dormouse.pullSecrets" .root | nindent 0 }}
securityContext:
  runAsNonRoot: true
  seccompProfile: {type: RuntimeDefault}
containers:
  - name: keys
    image: {{ include "dormouse.image" (dict "root" .root "part" "edge") }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    command: [dumb-init, --, python, -P, -m, edge.admin]
    args:
      - service-keys
      - cluster
      - --secret={{ include "dormouse.keysSecret" .root }}
      - --max-age-days={{ .maxAgeDays }}
    securityContext: {{- include "dormouse.containerSecurity" .root | nindent 6 }}
    resources:
      requests: {cpu: 50m, memory: 64Mi}
      limits: {memory: 256Mi}
    volumeMounts: [{name: scratch, mountPath: /tmp}]
volumes:
  - {name: scratch, emptyDir: {medium: Memory}}
{{- include "dormouse.placement" (dict "root" .root) | nindent 0 }}
{{- end }}

{{/* The account that may read and write one Secret. */}}
{{- define "dormouse.keysAccount" -}}
{{- $name := printf "%s-keys" (include "dormouse.fullname" .) }}
{{- range $kind := list "ServiceAccount" "Role" "RoleBinding" }}
---
apiVersion: {{ eq $kind "ServiceAccount" | ternary "v1" "rbac.authorization.k8s.io/v1" }}
kind: {{ $kind }}
metadata:
  name: {{ $name }}
  labels: {{- include "dormouse.labels" (dict "root" $ "component" "keys") | nindent 4 }}
{{- if eq $kind "Role" }}
rules:
  - apiGroups: [""]
    resources: [secrets]
    resourceNames: [{{ include "dormouse.keysSecret" $ }}]
    verbs: [get, update]
{{- else if eq $kind "RoleBinding" }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ $name }}}
subjects: [{kind: ServiceAccount, name: {{ $name }}, namespace: {{ $.Release.Namespace }}}]
{{- end }}
{{- end }}
{{- end }}
