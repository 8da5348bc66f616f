mock_provider "aws" {
  source = "../../mocks"
}

# Terraform cannot mock what draws secrets. The example draws them: it is planned against a simulated account, where it is
# also tested that no drawn value gets into a state (tests/terraform).

variables {
  name        = "dormouse-dev"
  tags        = { environment = "dev" }
  kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  generated   = { redis-password = { description = "Valkey's password", edition = 2 } }
  values      = { redis-password = "0123456789abcdef0123456789abcdef" }
  provided    = { tavily-api-key = { description = "Web search" } }
}

run "a_place_for_what_people_put_in" {
  command = plan

  assert {
    condition     = aws_secretsmanager_secret.this["tavily-api-key"].name == "dormouse-dev/tavily-api-key" && aws_secretsmanager_secret.this["tavily-api-key"].kms_key_id == var.kms_key_arn
    error_message = "the secret has another name or key"
  }

  assert {
    condition     = aws_secretsmanager_secret.this["tavily-api-key"].recovery_window_in_days == 7 && aws_secretsmanager_secret.this["tavily-api-key"].tags.environment == "dev"
    error_message = "a deleted secret cannot be brought back, or tags are missing"
  }

  assert {
    condition     = keys(aws_secretsmanager_secret_version.generated) == ["redis-password"]
    error_message = "Terraform puts a value into a secret that is a person's"
  }
}

run "a_drawn_value_is_written_and_not_kept" {
  command = plan

  assert {
    condition     = aws_secretsmanager_secret_version.generated["redis-password"].secret_string_wo_version == 2 && aws_secretsmanager_secret_version.generated["redis-password"].secret_string_wo == null
    error_message = "the value is in the plan, or a new edition would not be stored"
  }
}

run "a_short_secret_is_refused" {
  command = plan

  variables {
    values = { redis-password = "0000" }
  }

  expect_failures = [var.values]
}

run "a_secret_both_drawn_and_put_in_is_refused" {
  command = plan

  variables {
    generated = { tavily-api-key = { description = "Drawn too" } }
  }

  expect_failures = [var.provided]
}

run "a_recovery_that_aws_does_not_know_is_refused" {
  command = plan

  variables {
    recovery_window_days = 1
  }

  expect_failures = [var.recovery_window_days]
}
