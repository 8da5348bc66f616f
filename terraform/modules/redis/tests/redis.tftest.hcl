mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                = "dormouse-prod"
  tags                = { environment = "prod" }
  vpc_id              = "vpc-0a"
  subnet_ids          = ["subnet-0a", "subnet-0b", "subnet-0c"]
  clients             = { cluster = "sg-0a" }
  kms_key_arn         = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  password_secret_arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:dormouse-prod/redis-password-AbCdEf"
}

run "tls_password_and_encryption" {
  command = plan

  assert {
    condition     = aws_elasticache_replication_group.this.transit_encryption_enabled && aws_elasticache_replication_group.this.transit_encryption_mode == "required"
    error_message = "connections without TLS are taken"
  }

  assert {
    condition     = aws_elasticache_replication_group.this.at_rest_encryption_enabled == "true" && aws_elasticache_replication_group.this.kms_key_id == var.kms_key_arn
    error_message = "what lies on disk is not encrypted with the key"
  }

  assert {
    condition     = nonsensitive(aws_elasticache_replication_group.this.auth_token == data.aws_secretsmanager_secret_version.password.secret_string)
    error_message = "the password is not the secret's"
  }
}

run "valkey_that_throws_nothing_out" {
  command = plan

  assert {
    condition     = aws_elasticache_replication_group.this.engine == "valkey" && aws_elasticache_parameter_group.this.family == "valkey8"
    error_message = "the engine is not Valkey, or its parameters are for another"
  }

  assert {
    condition     = one([for parameter in aws_elasticache_parameter_group.this.parameter : parameter.value if parameter.name == "maxmemory-policy"]) == "noeviction"
    error_message = "logs of running runs may be thrown out"
  }
}

run "one_node_without_failover" {
  command = plan

  assert {
    condition     = aws_elasticache_replication_group.this.num_cache_clusters == 1 && !aws_elasticache_replication_group.this.automatic_failover_enabled
    error_message = "a single node cannot fail over"
  }
}

run "replicas_in_other_zones_take_over" {
  command = plan

  variables {
    replicas = 2
  }

  assert {
    condition     = aws_elasticache_replication_group.this.num_cache_clusters == 3 && aws_elasticache_replication_group.this.automatic_failover_enabled && aws_elasticache_replication_group.this.multi_az_enabled
    error_message = "replicas do not take over"
  }

  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.clients : "${rule.referenced_security_group_id}:${rule.from_port}-${rule.to_port}"] == ["sg-0a:6379-6379"]
    error_message = "others than the clients may connect"
  }
}

run "too_many_replicas_are_refused" {
  command = plan

  variables {
    replicas = 6
  }

  expect_failures = [var.replicas]
}

run "a_version_of_redis_is_refused" {
  command = plan

  variables {
    engine_version = "7.1"
  }

  expect_failures = [var.engine_version]
}

run "a_node_type_of_ec2_is_refused" {
  command = plan

  variables {
    node_type = "m7g.large"
  }

  expect_failures = [var.node_type]
}

run "the_example_of_the_readme" {
  command = plan

  module {
    source = "./example"
  }

  providers = {
    aws = aws
  }
}
