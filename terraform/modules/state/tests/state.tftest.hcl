mock_provider "aws" {
  source = "../../mocks"
}

variables {
  bucket = "dormouse-terraform-123456789012"
  tags   = { application = "dormouse" }
}

run "states_are_encrypted_closed_and_kept" {
  command = plan

  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms" && aws_kms_key.this.enable_key_rotation
    error_message = "states are not encrypted with a key of ours"
  }

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled" && aws_s3_bucket_lifecycle_configuration.this.rule[0].noncurrent_version_expiration[0].newer_noncurrent_versions == 10
    error_message = "a broken state cannot be brought back"
  }

  assert {
    condition     = aws_s3_bucket_public_access_block.this.restrict_public_buckets && jsondecode(aws_s3_bucket_policy.this.policy).Statement[0].Effect == "Deny"
    error_message = "the bucket can be opened, or answers without TLS"
  }

  assert {
    condition     = !aws_s3_bucket.this.force_destroy && aws_s3_bucket.this.tags.application == "dormouse"
    error_message = "a destroy takes all states with it, or tags are missing"
  }
}

run "forgetting_too_soon_is_refused" {
  command = plan

  variables {
    noncurrent_days = 1
  }

  expect_failures = [var.noncurrent_days]
}

run "capitals_are_refused" {
  command = plan

  variables {
    bucket = "Dormouse"
  }

  expect_failures = [var.bucket]
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
