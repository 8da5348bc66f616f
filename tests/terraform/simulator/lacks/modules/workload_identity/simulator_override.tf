# moto knows no pod identity.
resource "aws_eks_pod_identity_association" "this" {
  for_each = {}
}
