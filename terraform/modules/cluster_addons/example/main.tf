module "cluster_addons" {
  source = "../"

  cluster_name = "dormouse-dev"

  addons = {
    coredns            = { configuration = jsonencode({ replicaCount = 2 }) }
    aws-ebs-csi-driver = {}
  }
}
