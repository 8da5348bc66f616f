# Where the load tests stand that gate a release: made as prod is, smaller, and without what only guards data.

module "platform" {
  source = "../../modules/platform"

  environment = "staging"
  disposable  = true
  domain      = var.domain

  network = {
    cidr          = "10.41.0.0/16"
    nat           = "single"
    flow_log_days = 7
  }

  cluster = {
    public_endpoint_cidrs = var.office_cidrs
    log_retention_days    = 14
    access                = var.access
  }

  general_pool = {
    on_demand = { min = 2, max = 6 }
    spot      = { min = 0, max = 6 }
  }

  # Measurements on spot end with the node; a gate must not fail because AWS sold it.
  gpu_pool = {
    on_demand = { min = 0, max = 2 }
  }

  postgres = {
    instance_class = "db.m7g.large"
    multi_az       = true
    storage_gb     = 50
    storage_max_gb = 200
    backup_days    = 3
  }

  redis = {
    node_type = "cache.m7g.large"
    replicas  = 1
  }

  budget = {
    monthly_usd = 1500
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
