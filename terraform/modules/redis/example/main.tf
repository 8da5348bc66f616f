module "redis" {
  source = "../"

  name                = "dormouse-prod"
  vpc_id              = "vpc-0a"
  subnet_ids          = ["subnet-0a", "subnet-0b", "subnet-0c"]
  clients             = { cluster = "sg-0a" }
  kms_key_arn         = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  password_secret_arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:dormouse-prod/redis-password-AbCdEf"
  node_type           = "cache.m7g.large"
  replicas            = 2
}
