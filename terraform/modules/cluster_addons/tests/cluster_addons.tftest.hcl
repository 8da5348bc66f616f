mock_provider "aws" {
  source = "../../mocks"
}

variables {
  cluster_name = "dormouse-dev"
  tags         = { environment = "dev" }
}

run "names_and_volumes_by_default" {
  command = plan

  assert {
    condition     = keys(aws_eks_addon.this) == ["aws-ebs-csi-driver", "coredns"] && alltrue([for addon in aws_eks_addon.this : addon.tags.environment == "dev"])
    error_message = "coredns or the volume driver is missing, or has no tags"
  }
}

run "a_cluster_without_dns_is_refused" {
  command = plan

  variables {
    addons = { aws-ebs-csi-driver = {} }
  }

  expect_failures = [var.addons]
}

run "configuration_that_is_not_json_is_refused" {
  command = plan

  variables {
    addons = { coredns = { configuration = "replicas: 2" } }
  }

  expect_failures = [var.addons]
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
