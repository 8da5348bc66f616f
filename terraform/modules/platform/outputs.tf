output "platform" {
  description = "All that the chart needs to know of an environment, on any cloud: terraform/contract/outputs.schema.json, explained in docs/environment-contract.md. No secret, only where secrets are."
  value = {
    contract    = 1
    environment = var.environment
    cloud       = "aws"
    region      = data.aws_region.here.name
    namespace   = local.namespace
    host        = local.host
    networks    = [module.network.cidr]

    cluster = {
      name               = module.cluster.name
      endpoint           = module.cluster.endpoint
      kubernetes_version = module.cluster.kubernetes_version
      credentials        = ["aws", "eks", "update-kubeconfig", "--region", data.aws_region.here.name, "--name", module.cluster.name]
    }

    tls = {
      dns01        = { route53 = { hostedZoneID = module.dns_tls.zone_id, region = data.aws_region.here.name } }
      certificate  = module.dns_tls.certificate_arn
      zone         = var.domain.zone
      name_servers = module.dns_tls.name_servers
    }

    postgres = {
      host        = module.postgres.host
      port        = module.postgres.port
      database    = module.postgres.database
      owner       = { role = module.postgres.owner, secret = module.postgres.owner_secret_arn, property = "password" }
      application = { role = "dormouse_app", secret = module.secrets.names["postgres-application-password"], property = "" }
      tls_mode    = "verify-full"
      # RDS' certificates are signed by authorities of its own, which images do not know.
      certificates_url = "https://truststore.pki.rds.amazonaws.com/${data.aws_region.here.name}/${data.aws_region.here.name}-bundle.pem"
    }

    redis = {
      host     = module.redis.host
      port     = module.redis.port
      tls      = true
      password = { secret = module.secrets.names["redis-password"], property = "" }
    }

    documents = {
      url         = "s3://${module.documents.bucket}/originals"
      environment = { AWS_REGION = data.aws_region.here.name }
    }

    images = {
      host         = module.registry.host
      prefix       = "${module.registry.host}/${local.name}"
      repositories = module.registry.repositories
    }

    secrets = {
      store     = { aws = { service = "SecretsManager", region = data.aws_region.here.name } }
      provided  = { for name in keys(var.provided_secrets) : name => { secret = module.secrets.names[name], property = "" } }
      save_keys = ["aws", "secretsmanager", "put-secret-value", "--region", data.aws_region.here.name, "--secret-id", module.secrets.names["cluster-keys"], "--secret-string", "file:///dev/stdin"]
    }

    identities = module.identities.identities

    pools = {
      general = { node_selector = { "dormouse.dev/pool" = "general" }, tolerations = [] }
      gpu = {
        node_selector = { "dormouse.dev/pool" = "gpu" }
        tolerations   = [for taint in module.gpu_pool.taints : { key = taint.key, operator = "Exists", effect = taint.effect }]
        max_nodes     = try(var.gpu_pool.on_demand.max, 0) + try(var.gpu_pool.spot.max, 0)
      }
    }
  }
}

output "operations" {
  description = "What people need of an environment beside the chart."
  value = {
    vpc_id            = module.network.vpc_id
    nat_addresses     = module.network.nat_addresses
    postgres_instance = module.postgres.identifier
    kms_key_arn       = module.key.arn
    budget            = module.budget_alarm.name
  }
}
