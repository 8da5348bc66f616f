# moto does not make the security group that EKS gives to its nodes.
resource "aws_security_group" "nodes" {
  name        = "eks-cluster-sg-${var.name}"
  description = "Stands for the group that EKS makes"
}
