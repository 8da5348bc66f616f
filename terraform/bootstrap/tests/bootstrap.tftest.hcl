mock_provider "aws" {
  source = "../mocks"

  mock_resource "aws_kms_key" {
    defaults = {
      arn = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
    }
  }
}

variables {
  account_id = "123456789012"
  region     = "us-east-1"
}

run "the_backend_is_encrypted_and_locks_itself" {
  assert {
    condition     = strcontains(output.backend, "bucket       = \"dormouse-terraform-123456789012\"") && strcontains(output.backend, "use_lockfile = true") && strcontains(output.backend, "encrypt      = true")
    error_message = "environments would keep their state elsewhere, in the clear or without a lock"
  }
}

run "an_account_that_is_none_is_refused" {
  command = plan

  variables {
    account_id = "dormouse"
  }

  expect_failures = [var.account_id]
}
