output "name" {
  description = "The cluster's name."
  value       = aws_eks_cluster.this.name
}

output "arn" {
  description = "The cluster's ARN."
  value       = aws_eks_cluster.this.arn
}

output "endpoint" {
  description = "URL of the API server."
  value       = aws_eks_cluster.this.endpoint
}

output "kubernetes_version" {
  description = "Minor version of Kubernetes."
  value       = aws_eks_cluster.this.version
}

output "security_group_id" {
  description = "The group that EKS gives to the control plane and every node: what databases let in."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}
