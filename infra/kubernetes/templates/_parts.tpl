{{- define "mtl.image" -}}
{{ .Values.image.repository }}@{{ required "image.digest: the image is named by its digest (sha256:…)" .Values.image.digest }}
{{- end }}

{{- define "mtl.pod" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "mtl.container" -}}
image: {{ include "mtl.image" . }}
imagePullPolicy: Always
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "mtl.secret" -}}
{{- $secret := .secret }}
{{- range .keys }}
- name: {{ . }}
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ . }}}}
{{- end }}
{{- end }}

{{- define "mtl.node" -}}
{{ include "mtl.secret" (dict "secret" .Values.secret "keys" (list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY")) }}
{{- with .Values.objectStore.endpoint }}
- {name: AWS_ENDPOINT_URL, value: {{ . | quote }}}
- {name: MLFLOW_S3_ENDPOINT_URL, value: {{ . | quote }}}
{{- end }}
- {name: MTL_HOME, value: /state}
- {name: HOME, value: /tmp}
{{- end }}

{{- define "mtl.client" -}}
{{ include "mtl.node" . }}
{{ include "mtl.secret" (dict "secret" .Values.secret "keys" (list "MLFLOW_TRACKING_PASSWORD" "PREFECT_API_AUTH_STRING")) }}
- {name: MLFLOW_TRACKING_URI, value: "http://mlflow:5000"}
- {name: MLFLOW_TRACKING_USERNAME, value: mtl}
- {name: MLFLOW_ALLOW_PICKLE_DESERIALIZATION, value: "false"}
- {name: PREFECT_API_URL, value: "http://prefect:4200/api"}
{{- end }}
