mock_provider "aws" {
  source = "../../mocks"
}

variables {
  bucket      = "dormouse-dev-documents-123456789012"
  tags        = { environment = "dev" }
  kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "encrypted_with_our_key" {
  command = plan

  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default[0].kms_master_key_id == var.kms_key_arn && one(aws_s3_bucket_server_side_encryption_configuration.this.rule).bucket_key_enabled
    error_message = "objects are not encrypted with the key"
  }
}

run "closed_to_the_public_and_to_plain_http" {
  command = plan

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls,
      aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "the bucket can be opened to the public"
  }

  assert {
    condition     = jsondecode(aws_s3_bucket_policy.this.policy).Statement[0].Effect == "Deny" && jsondecode(aws_s3_bucket_policy.this.policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
    error_message = "the bucket answers without TLS"
  }

  assert {
    condition     = one(aws_s3_bucket_ownership_controls.this.rule).object_ownership == "BucketOwnerEnforced"
    error_message = "access lists count"
  }
}

run "what_was_deleted_comes_back_for_a_while_and_then_is_gone" {
  command = plan

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "nothing that was deleted can be brought back"
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.this.rule[0].noncurrent_version_expiration[0].noncurrent_days == 30
    error_message = "what was deleted stays forever"
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.this.rule[1].abort_incomplete_multipart_upload[0].days_after_initiation == 1
    error_message = "broken uploads stay and cost"
  }

  assert {
    condition     = !aws_s3_bucket.this.force_destroy && aws_s3_bucket.this.tags.environment == "dev"
    error_message = "a destroy takes the documents with it, or tags are missing"
  }
}

run "a_name_with_dots_is_refused" {
  command = plan

  variables {
    bucket = "documents.example.org"
  }

  expect_failures = [var.bucket]
}

run "no_time_for_second_thoughts_is_refused" {
  command = plan

  variables {
    noncurrent_days = 0
  }

  expect_failures = [var.noncurrent_days]
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
