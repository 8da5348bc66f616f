module "cluster" {
  source = "../"

  name                  = "dormouse-dev"
  kubernetes_version    = "1.35"
  subnet_ids            = ["subnet-0a", "subnet-0b", "subnet-0c"]
  kms_key_arn           = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  public_endpoint_cidrs = ["203.0.113.0/24"]

  access = {
    platform-team = { principal_arn = "arn:aws:iam::123456789012:role/platform-team", rights = "admin" }
    support       = { principal_arn = "arn:aws:iam::123456789012:role/support", rights = "view", namespaces = ["dormouse"] }
  }
}
