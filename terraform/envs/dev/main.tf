# One engineer's cluster: the cheapest of everything, spot where it does no harm, and gone with one destroy.

module "platform" {
  source = "../../modules/platform"

  environment = "dev"
  disposable  = true
  domain      = var.domain

  network = {
    cidr = "10.40.0.0/16"
    nat  = "single"
  }

  cluster = {
    public_endpoint_cidrs = var.office_cidrs
    log_retention_days    = 7
    access                = var.access
  }

  general_pool = {
    instance_types = ["t3.large", "t3a.large"]
    on_demand      = { min = 2, max = 3 }
    spot           = { min = 0, max = 3 }
  }

  gpu_pool = {
    spot = { min = 0, max = 1 }
  }

  postgres = {
    instance_class = "db.t4g.medium"
    backup_days    = 1
  }

  redis = {
    node_type = "cache.t4g.micro"
  }

  registry = {
    keep_images = 20
  }

  budget = {
    monthly_usd = 500
    emails      = var.budget_emails
  }

  drawn_secrets    = { for name, drawn in ephemeral.aws_secretsmanager_random_password.drawn : name => drawn.random_password }
  provided_secrets = var.provided_secrets
}

# Drawn at every run and stored only when an edition is new; never in the state.
ephemeral "aws_secretsmanager_random_password" "drawn" {
  for_each = toset(["redis-password", "postgres-application-password"])

  password_length     = 48
  exclude_punctuation = true
}
