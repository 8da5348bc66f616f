mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name        = "dormouse-dev"
  tags        = { environment = "dev" }
  kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "a_repository_a_part" {
  command = plan

  assert {
    condition = [for repository in aws_ecr_repository.this : repository.name] == [
      "dormouse-dev/dormouse-agent-fn", "dormouse-dev/dormouse-edge", "dormouse-dev/dormouse-embed-fn", "dormouse-dev/dormouse-loadtest",
      "dormouse-dev/dormouse-migrations", "dormouse-dev/dormouse-model-server", "dormouse-dev/dormouse-tool-fn",
    ]
    error_message = "the repositories are others"
  }
}

run "images_are_scanned_encrypted_and_keep_their_tags" {
  command = plan

  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : repository.image_tag_mutability == "IMMUTABLE" && repository.image_scanning_configuration[0].scan_on_push])
    error_message = "a tag can move to another image, or images are not scanned"
  }

  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : repository.encryption_configuration[0].kms_key == var.kms_key_arn && repository.tags.environment == "dev" && !repository.force_delete])
    error_message = "a repository lacks key or tags, or goes with its images"
  }
}

run "old_images_go" {
  command = plan

  assert {
    condition     = [for rule in jsondecode(aws_ecr_lifecycle_policy.this["dormouse-edge"].policy).rules : rule.selection.countNumber] == [7, 50]
    error_message = "images stay for another time"
  }
}

run "too_few_images_for_a_rollback_are_refused" {
  command = plan

  variables {
    keep_images = 1
  }

  expect_failures = [var.keep_images]
}

run "a_part_named_as_a_python_package_is_refused" {
  command = plan

  variables {
    parts = ["agent_fn"]
  }

  expect_failures = [var.parts]
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
