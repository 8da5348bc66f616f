output "labels" {
  description = "What a pod's nodeSelector may ask for."
  value       = local.labels
}

output "taints" {
  description = "What a pod has to tolerate, as Kubernetes writes it."
  value = [for taint in local.taints : {
    key    = taint.key
    value  = taint.value
    effect = { NO_SCHEDULE = "NoSchedule", NO_EXECUTE = "NoExecute", PREFER_NO_SCHEDULE = "PreferNoSchedule" }[taint.effect]
  }]
}

output "groups" {
  description = "Names of the node groups, by how they are bought."
  value       = { for kind, group in aws_eks_node_group.this : kind => group.node_group_name }
}

output "role_arn" {
  description = "The nodes' role."
  value       = aws_iam_role.node.arn
}
