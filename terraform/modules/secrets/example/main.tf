ephemeral "aws_secretsmanager_random_password" "drawn" {
  password_length     = 48
  exclude_punctuation = true
}

module "secrets" {
  source = "../"

  name        = "dormouse-dev"
  kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"

  generated = { redis-password = { description = "Valkey's password" } }
  values    = { redis-password = ephemeral.aws_secretsmanager_random_password.drawn.random_password }
  provided  = { tavily-api-key = { description = "Web search" } }
}
