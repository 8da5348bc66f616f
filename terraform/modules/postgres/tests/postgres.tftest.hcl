mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name        = "dormouse-prod"
  tags        = { environment = "prod" }
  vpc_id      = "vpc-0a"
  subnet_ids  = ["subnet-0a", "subnet-0b", "subnet-0c"]
  clients     = { cluster = "sg-0a" }
  kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "tls_is_forced_and_storage_encrypted" {
  command = plan

  assert {
    condition     = one([for parameter in aws_db_parameter_group.this.parameter : parameter.value if parameter.name == "rds.force_ssl"]) == "1"
    error_message = "the database takes connections without TLS"
  }

  assert {
    condition     = aws_db_instance.this.storage_encrypted && aws_db_instance.this.kms_key_id == var.kms_key_arn && aws_db_instance.this.performance_insights_kms_key_id == var.kms_key_arn
    error_message = "something of the database is stored in the clear or with another key"
  }
}

run "nobody_knows_the_owners_password" {
  command = plan

  assert {
    condition     = aws_db_instance.this.manage_master_user_password && aws_db_instance.this.password == null && aws_db_instance.this.master_user_secret_kms_key_id == var.kms_key_arn
    error_message = "the owner's password is in Terraform"
  }
}

run "only_clients_reach_it" {
  command = plan

  assert {
    condition     = !aws_db_instance.this.publicly_accessible
    error_message = "the database has a public address"
  }

  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.clients : "${rule.referenced_security_group_id}:${rule.from_port}-${rule.to_port}"] == ["sg-0a:5432-5432"]
    error_message = "others than the clients may connect"
  }
}

run "data_outlives_a_mistake" {
  command = plan

  assert {
    condition     = aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot && aws_db_instance.this.final_snapshot_identifier == "dormouse-prod-final" && !aws_db_instance.this.delete_automated_backups
    error_message = "a destroy takes the data with it"
  }

  assert {
    condition     = aws_db_instance.this.backup_retention_period == 7 && aws_db_instance.this.max_allocated_storage == 100
    error_message = "there are no backups, or a full disk stops the database"
  }

  assert {
    condition     = aws_db_instance.this.copy_tags_to_snapshot && aws_db_instance.this.tags.environment == "prod"
    error_message = "tags are missing"
  }
}

run "an_environment_to_throw_away" {
  command = plan

  variables {
    deletion_protection = false
  }

  assert {
    condition     = aws_db_instance.this.skip_final_snapshot && aws_db_instance.this.delete_automated_backups
    error_message = "a destroy leaves snapshots behind that cost money"
  }
}

run "a_standby_by_choice" {
  command = plan

  variables {
    multi_az = true
  }

  assert {
    condition     = aws_db_instance.this.multi_az
    error_message = "there is no standby"
  }
}

run "a_postgres_without_halfvec_is_refused" {
  command = plan

  variables {
    engine_version = "15"
  }

  expect_failures = [var.engine_version]
}

run "a_database_without_backups_is_refused" {
  command = plan

  variables {
    backups = { days = 0 }
  }

  expect_failures = [var.backups]
}

run "tls_cannot_be_switched_off" {
  command = plan

  variables {
    parameters = { "rds.force_ssl" = { value = "0" } }
  }

  expect_failures = [var.parameters]
}

run "a_disk_that_cannot_grow_is_refused" {
  command = plan

  variables {
    storage = { gb = 100, max_gb = 100 }
  }

  expect_failures = [var.storage]
}

run "the_services_role_cannot_own_the_tables" {
  command = plan

  variables {
    owner = "dormouse_app"
  }

  expect_failures = [var.owner]
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
