# What the world and the account see: documents, images, names, rights, money.

module "documents" {
  source = "../object_store"

  # Bucket names are the world's; the account's number makes this one ours.
  bucket          = "${local.name}-documents-${data.aws_caller_identity.here.account_id}"
  tags            = local.tags
  kms_key_arn     = module.key.arn
  noncurrent_days = var.documents.noncurrent_days
  force_destroy   = var.disposable
}

module "registry" {
  source = "../registry"

  name         = local.name
  tags         = local.tags
  kms_key_arn  = module.key.arn
  keep_images  = var.registry.keep_images
  force_delete = var.disposable
}

module "dns_tls" {
  source = "../dns_tls"

  zone                 = var.domain.zone
  create_zone          = var.domain.create_zone
  hosts                = [local.host]
  load_balancer        = var.domain.load_balancer
  wait_for_certificate = var.domain.delegated
  tags                 = local.tags
}

module "identities" {
  source = "../workload_identity"

  cluster_name = module.cluster.name
  tags         = local.tags
  documents    = { bucket_arn = module.documents.arn, prefix = "originals" }
  kms_key_arn  = module.key.arn
  secret_arns  = concat(values(module.secrets.arns), [module.postgres.owner_secret_arn])
  zone_arn     = module.dns_tls.zone_arn
}

module "budget_alarm" {
  source = "../budget_alarm"

  name        = local.name
  tags        = local.tags
  monthly_usd = var.budget.monthly_usd
  emails      = var.budget.emails
  tag_filter  = var.budget.only_this_environment ? { key = "environment", value = var.environment } : null
}
