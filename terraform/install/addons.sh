#!/usr/bin/env bash
# Installs what the chart expects of a cluster, in pinned versions. As often as one likes: what is there is brought up to date.
#   OUTPUTS=file EMAIL=address terraform/install/addons.sh          PLAN=1 prints the commands instead
set -euo pipefail
# shellcheck source=terraform/install/common.sh
source "$(dirname "$0")/common.sh"
# shellcheck disable=SC1091 # it holds names and values alone
source "$(dirname "$0")/versions.env"
email=${EMAIL:?EMAIL is whom the certificate authority writes to before a certificate ends}
github=https://github.com

# release, namespace, chart, version, further arguments…
chart() {
  local release=$1 namespace=$2 chart=$3 version=$4
  shift 4
  run helm upgrade --install "$release" "$chart" --version "$version" --namespace "$namespace" --create-namespace \
    --wait --timeout 10m "$@"
}

manifest() { run kubectl apply --server-side --force-conflicts --filename "$1"; }

# configmap, JSON of its data
settings() { run kubectl patch configmap "$1" --namespace knative-serving --type merge --patch "{\"data\":$2}"; }

need kubectl helm
use_cluster
cluster=$(field cluster.name)

say "metrics server $METRICS_SERVER"
manifest "$github/kubernetes-sigs/metrics-server/releases/download/$METRICS_SERVER/components.yaml"

say "cluster autoscaler $CLUSTER_AUTOSCALER"
# On demand before spot where a model is waited for, the other way round elsewhere; 10 is the rest.
priorities='{"50":[".*gpu-on-demand.*",".*general-spot.*"],"10":[".*"]}'
chart cluster-autoscaler kube-system cluster-autoscaler "$CLUSTER_AUTOSCALER_CHART" \
  --repo https://kubernetes.github.io/autoscaler \
  --set "image.tag=$CLUSTER_AUTOSCALER,autoDiscovery.clusterName=$cluster,awsRegion=$(field region)" \
  --set "rbac.serviceAccount.name=cluster-autoscaler,extraArgs.expander=priority" \
  --set "extraArgs.scale-down-unneeded-time=5m" \
  --set-json "expanderPriorities=$priorities"

say "NVIDIA device plugin $NVIDIA_DEVICE_PLUGIN"
# It runs where the label nvidia.com/gpu.present is and tolerates the pool's taint: the chart's defaults.
chart nvidia-device-plugin kube-system nvidia-device-plugin "$NVIDIA_DEVICE_PLUGIN" \
  --repo https://nvidia.github.io/k8s-device-plugin

say "Envoy Gateway $ENVOY_GATEWAY"
chart envoy-gateway envoy-gateway-system oci://docker.io/envoyproxy/gateway-helm "$ENVOY_GATEWAY"

say "cert-manager $CERT_MANAGER"
chart cert-manager cert-manager oci://quay.io/jetstack/charts/cert-manager "$CERT_MANAGER" \
  --set crds.enabled=true --set config.apiVersion=controller.config.cert-manager.io/v1alpha1 \
  --set config.kind=ControllerConfiguration --set config.enableGatewayAPI=true

say "External Secrets $EXTERNAL_SECRETS"
chart external-secrets external-secrets external-secrets "$EXTERNAL_SECRETS" --repo https://charts.external-secrets.io

say "KEDA $KEDA"
# It puts the GPU pool's one user to sleep, and wakes it.
chart keda keda keda "$KEDA" --repo https://kedacore.github.io/charts

say "Knative Serving $KNATIVE, Kourier $KOURIER"
serving=$github/knative/serving/releases/download/knative-v$KNATIVE
manifest "$serving/serving-crds.yaml"
run kubectl wait --for condition=Established --timeout 2m --all crd
manifest "$serving/serving-core.yaml"
manifest "$github/knative-extensions/net-kourier/releases/download/knative-v$KOURIER/kourier.yaml"
settings config-network '{"ingress-class":"kourier.ingress.networking.knative.dev"}'
# The functions are called from inside of the cluster only: no load balancer of their own.
run kubectl patch service kourier --namespace kourier-system --type merge --patch '{"spec":{"type":"ClusterIP"}}'
# The registry's tags never move, and Knative has no credentials to look them up.
settings config-deployment "{\"registries-skipping-tag-resolving\":\"kind.local,ko.local,dev.local,$(field images.host)\"}"
settings config-features '{"kubernetes.podspec-nodeselector":"enabled","kubernetes.podspec-tolerations":"enabled"}'
for deployment in activator autoscaler controller webhook; do
  run kubectl rollout status "deployment/$deployment" --namespace knative-serving --timeout 5m
done

say "issuer, store of secrets and gateway of $(field environment)"
terraform_commands cluster "$outputs" --email "$email" | feed kubectl apply --server-side --force-conflicts --filename -
