# For people who count on it: a zone may die, a destroy is refused, and every second of 35 days can be restored.

module "platform" {
  source = "../../modules/platform"

  environment = "prod"
  disposable  = false
  domain      = var.domain

  network = {
    cidr                = "10.42.0.0/16"
    nat                 = "per_zone"
    interface_endpoints = ["ecr.api", "ecr.dkr", "secretsmanager", "sts"]
    flow_log_days       = 90
  }

  cluster = {
    public_endpoint_cidrs = var.office_cidrs
    log_retention_days    = 365
    access                = var.access
  }

  general_pool = {
    on_demand = { min = 3, max = 12 }
    spot      = { min = 0, max = 12 }
  }

  # On demand first; spot adds to it when many talk at once.
  gpu_pool = {
    instance_types = ["g6.2xlarge", "g5.2xlarge"]
    on_demand      = { min = 0, max = 4 }
    spot           = { min = 0, max = 8 }
  }

  postgres = {
    instance_class = "db.m7g.xlarge"
    multi_az       = true
    storage_gb     = 200
    storage_max_gb = 1000
    backup_days    = 35
  }

  redis = {
    node_type = "cache.m7g.large"
    replicas  = 2
  }

  documents = {
    noncurrent_days = 90
  }

  registry = {
    keep_images = 100
  }

  budget = {
    monthly_usd = 5000
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
