mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name = "dormouse-dev"
  tags = { environment = "dev" }
}

run "the_key_turns_over_and_has_a_name" {
  command = plan

  assert {
    condition     = aws_kms_key.this.enable_key_rotation && aws_kms_key.this.deletion_window_in_days == 30
    error_message = "the key does not rotate, or is gone too soon after a mistake"
  }

  assert {
    condition     = aws_kms_alias.this.name == "alias/dormouse-dev" && aws_kms_key.this.tags.environment == "dev"
    error_message = "alias or tags differ"
  }
}

run "only_the_account_and_its_logs_may_use_it" {
  command = plan

  assert {
    condition = [for statement in jsondecode(aws_kms_key.this.policy).Statement : statement.Principal] == [
      { AWS = "arn:aws:iam::123456789012:root" }, { Service = "logs.us-east-1.amazonaws.com" }
    ]
    error_message = "somebody else is in the key's policy"
  }

  assert {
    condition     = jsondecode(aws_kms_key.this.policy).Statement[1].Condition.ArnLike["kms:EncryptionContext:aws:logs:arn"] == "arn:aws:logs:us-east-1:123456789012:log-group:*"
    error_message = "CloudWatch Logs may use the key for other accounts' logs"
  }
}

run "a_window_that_kms_does_not_take_is_refused" {
  command = plan

  variables {
    deletion_window_days = 3
  }

  expect_failures = [var.deletion_window_days]
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
