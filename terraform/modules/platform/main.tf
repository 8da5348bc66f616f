# Everything that the chart needs, put together once: environments differ in their figures, never in what they are made of.

data "aws_caller_identity" "here" {}
data "aws_region" "here" {}

locals {
  name      = "${var.name}-${var.environment}"
  tags      = merge({ application = var.name, environment = var.environment, managed-by = "terraform" }, var.tags)
  namespace = "dormouse"
  host      = coalesce(var.domain.host, "api.${var.domain.zone}")
  clients   = { cluster = module.cluster.security_group_id }
}

module "key" {
  source = "../encryption_key"

  name                 = local.name
  tags                 = local.tags
  deletion_window_days = var.disposable ? 7 : 30
}

module "network" {
  source = "../network"

  name                = local.name
  tags                = local.tags
  cidr                = var.network.cidr
  nat                 = var.network.nat
  interface_endpoints = var.network.interface_endpoints
  flow_logs           = var.network.flow_log_days == null ? null : { retention_days = var.network.flow_log_days, kms_key_arn = module.key.arn }
}

module "cluster" {
  source = "../cluster"

  name                  = local.name
  tags                  = local.tags
  kubernetes_version    = var.cluster.kubernetes_version
  subnet_ids            = module.network.private_subnet_ids
  kms_key_arn           = module.key.arn
  public_endpoint_cidrs = var.cluster.public_endpoint_cidrs
  access                = var.cluster.access
  logs                  = { retention_days = var.cluster.log_retention_days }
}

module "general_pool" {
  source = "../node_pool"

  cluster_name   = module.cluster.name
  pool           = "general"
  tags           = local.tags
  subnet_ids     = module.network.private_subnet_ids
  instance_types = var.general_pool.instance_types
  on_demand      = var.general_pool.on_demand
  spot           = var.general_pool.spot
}

module "gpu_pool" {
  source = "../node_pool"

  cluster_name   = module.cluster.name
  pool           = "gpu"
  gpu            = true
  tags           = local.tags
  subnet_ids     = module.network.private_subnet_ids
  instance_types = var.gpu_pool.instance_types
  on_demand      = var.gpu_pool.on_demand
  spot           = var.gpu_pool.spot
  disk_gb        = var.gpu_pool.disk_gb
}

module "cluster_addons" {
  source = "../cluster_addons"

  cluster_name = module.cluster.name
  tags         = local.tags

  # They are ready only on nodes, and the volume driver only with its role.
  depends_on = [module.general_pool, module.identities]
}

module "secrets" {
  source = "../secrets"

  name                 = local.name
  tags                 = local.tags
  kms_key_arn          = module.key.arn
  recovery_window_days = var.disposable ? 0 : 7
  generated = {
    redis-password                = { description = "Valkey's password", edition = var.secret_editions.redis_password }
    postgres-application-password = { description = "Password of the services' role in Postgres", edition = var.secret_editions.postgres_application_password }
  }
  values = var.drawn_secrets
  provided = merge(
    # The cluster makes these keys. Without the pepper among them every API key in the database is worthless.
    { cluster-keys = { description = "Copy of the cluster's keys, put there by make env-install" } },
    { for name, description in var.provided_secrets : name => { description = description } },
  )
}

module "postgres" {
  source = "../postgres"

  name                = local.name
  tags                = local.tags
  vpc_id              = module.network.vpc_id
  subnet_ids          = module.network.private_subnet_ids
  clients             = local.clients
  kms_key_arn         = module.key.arn
  instance_class      = var.postgres.instance_class
  multi_az            = var.postgres.multi_az
  storage             = { gb = var.postgres.storage_gb, max_gb = var.postgres.storage_max_gb }
  backups             = { days = var.postgres.backup_days }
  deletion_protection = !var.disposable
  apply_immediately   = var.disposable
}

module "redis" {
  source = "../redis"

  name                = local.name
  tags                = local.tags
  vpc_id              = module.network.vpc_id
  subnet_ids          = module.network.private_subnet_ids
  clients             = local.clients
  kms_key_arn         = module.key.arn
  password_secret_arn = module.secrets.arns["redis-password"]
  node_type           = var.redis.node_type
  replicas            = var.redis.replicas
  apply_immediately   = var.disposable
}
