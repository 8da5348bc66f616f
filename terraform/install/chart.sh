#!/usr/bin/env bash
# Installs the chart, or a new release of it, into an environment that has the add-ons.
#   OUTPUTS=file VALUES=file TAG=tag terraform/install/chart.sh     PLAN=1 prints the commands instead
set -euo pipefail
# shellcheck source=terraform/install/common.sh
source "$(dirname "$0")/common.sh"
values=${VALUES:?VALUES names the file that make env-values has made}
tag=${TAG:?TAG is the tag of the images to install}
namespace=$(field namespace)
release=dormouse

# What kubectl has made of files; in a plan it is the command itself that is passed on.
apply_made() { if [ -n "${PLAN:-}" ]; then cat; else kubectl apply --server-side --force-conflicts --filename -; fi; }

need kubectl helm curl
[ -f "$values" ] || fail "there is no $values; make env-values makes it"
use_cluster

certificates=$(field postgres.certificates_url)
if [ -n "$certificates" ]; then
  say "the authorities that sign the database's certificate"
  run curl --fail --silent --show-error --location --output "$(dirname "$outputs")/ca.pem" "$certificates"
  run kubectl create configmap dormouse-postgres-certificates --namespace "$namespace" --dry-run=client --output yaml \
    --from-file "ca.pem=$(dirname "$outputs")/ca.pem" | apply_made
fi

say "secrets, and the services' role in the database"
# A job does not change; made anew it takes the password of the day.
run kubectl delete job dormouse-postgres-role --namespace "$namespace" --ignore-not-found
terraform_commands secrets "$outputs" | feed kubectl apply --server-side --force-conflicts --filename -
run kubectl wait externalsecret --all --for condition=Ready --timeout 5m --namespace "$namespace"
run kubectl wait job/dormouse-postgres-role --for condition=Complete --timeout 10m --namespace "$namespace"

say "the chart, images $tag"
run helm upgrade --install "$release" "$root/charts/dormouse" --namespace "$namespace" --values "$values" \
  --set "image.tag=$tag" --wait --wait-for-jobs --timeout 30m

say "a copy of the keys: without them every API key in the database is worthless"
mapfile -t save < <(field secrets.save_keys)
if [ -n "${PLAN:-}" ]; then
  run "${save[@]}"
else
  kubectl get secret "$release-keys" --namespace "$namespace" --output 'jsonpath={.data}' | "${save[@]}" >/dev/null
fi

say "the name that the load balancer got, for domain.load_balancer (docs/environments.md)"
run kubectl get gateway dormouse --namespace "$namespace" --output 'jsonpath={.status.addresses[0].value}{"\n"}'
