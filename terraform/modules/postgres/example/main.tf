module "postgres" {
  source = "../"

  name           = "dormouse-prod"
  vpc_id         = "vpc-0a"
  subnet_ids     = ["subnet-0a", "subnet-0b", "subnet-0c"]
  clients        = { cluster = "sg-0a" }
  kms_key_arn    = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  instance_class = "db.m7g.large"
  multi_az       = true
  storage        = { gb = 100, max_gb = 500 }
  backups        = { days = 35 }
}
