# moto knows no add-ons.
resource "aws_eks_addon" "this" {
  for_each = {}
}
