{{/* The pod that makes and renews keys. */}}
{{- define "dormouse.keysPod" -}}
restartPolicy: OnFailure
serviceAccountName: {{ .account }}
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
      - --release={{ .root.Release.Name }}
      - --max-age-days={{ .maxAgeDays }}
    securityContext: {{- include "dormouse.containerSecurity" .root | nindent 6 }}
    resources:
      requests: {cpu: 50m, memory: 64Mi}
      limits: {memory: 256Mi}
    volumeMounts: [{name: scratch, mountPath: /tmp}]
volumes:
  - {name: scratch, emptyDir: {medium: Memory}}
{{- end }}

{{/* The account that may read and write one Secret: (dict "root" $ "account" … "hook" bool) */}}
{{- define "dormouse.keysAccount" -}}
{{- $scope := dict "root" .root "component" "keys" }}
{{- range $kind := list "ServiceAccount" "Role" "RoleBinding" }}
---
apiVersion: {{ eq $kind "ServiceAccount" | ternary "v1" "rbac.authorization.k8s.io/v1" }}
kind: {{ $kind }}
metadata:
  name: {{ $.account }}
  labels: {{- include "dormouse.labels" $scope | nindent 4 }}
  {{- if $.hook }}
  annotations:
    helm.sh/hook: pre-install,pre-upgrade
    helm.sh/hook-weight: "-20"
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
  {{- end }}
{{- if eq $kind "Role" }}
rules:
  - apiGroups: [""]
    resources: [secrets]
    resourceNames: [{{ include "dormouse.keysSecret" $.root }}]
    verbs: [get, update]
  # A name cannot be asked for where the object does not exist yet.
  - apiGroups: [""]
    resources: [secrets]
    verbs: [create]
{{- else if eq $kind "RoleBinding" }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ $.account }}}
subjects: [{kind: ServiceAccount, name: {{ $.account }}, namespace: {{ $.root.Release.Namespace }}}]
{{- end }}
{{- end }}
{{- end }}
