ephemeral "aws_secretsmanager_random_password" "drawn" {
  for_each = toset(["redis-password", "postgres-application-password"])

  password_length     = 48
  exclude_punctuation = true
}

module "platform" {
  source = "../"

  environment = "dev"
  disposable  = true
  domain      = { zone = "dev.example.org" }

  cluster = {
    access = { team = { principal_arn = "arn:aws:iam::123456789012:role/platform-team", rights = "admin" } }
  }

  gpu_pool = {
    spot = { min = 0, max = 1 }
  }

  drawn_secrets = { for name, drawn in ephemeral.aws_secretsmanager_random_password.drawn : name => drawn.random_password }

  budget = { monthly_usd = 500, emails = ["platform-team@example.org"] }
}
