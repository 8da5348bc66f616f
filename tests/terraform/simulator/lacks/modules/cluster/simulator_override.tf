# moto knows neither access entries nor add-ons.
resource "aws_eks_access_entry" "this" {
  for_each = {}
}

resource "aws_eks_access_policy_association" "this" {
  for_each = {}
}

resource "aws_eks_addon" "this" {
  for_each = {}
}

output "security_group_id" {
  value = aws_security_group.nodes.id
}

# It forgets these, and then Terraform would make the cluster anew.
resource "aws_eks_cluster" "this" {
  lifecycle {
    ignore_changes = [access_config, kubernetes_network_config, upgrade_policy, vpc_config[0].security_group_ids]
  }
}
