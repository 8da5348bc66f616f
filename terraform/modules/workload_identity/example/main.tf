module "identities" {
  source = "../"

  cluster_name = "dormouse-dev"
  documents    = { bucket_arn = "arn:aws:s3:::dormouse-dev-documents-123456789012", prefix = "originals" }
  kms_key_arn  = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  secret_arns  = ["arn:aws:secretsmanager:us-east-1:123456789012:secret:dormouse-dev/redis-password-AbCdEf"]
  zone_arn     = "arn:aws:route53:::hostedzone/Z0123456789"
}
