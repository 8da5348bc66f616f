mock_provider "aws" {
  source = "../../mocks"
}

variables {
  cluster_name = "dormouse-dev"
  tags         = { environment = "dev" }
  documents    = { bucket_arn = "arn:aws:s3:::documents", prefix = "originals" }
  kms_key_arn  = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  secret_arns  = ["arn:aws:secretsmanager:us-east-1:123456789012:secret:dormouse-dev/redis-password-AbCdEf"]
  zone_arn     = "arn:aws:route53:::hostedzone/Z0123456789"
}

run "a_role_for_each_that_calls_aws_and_none_for_the_functions" {
  command = plan

  assert {
    condition     = keys(aws_eks_pod_identity_association.this) == ["cert-manager", "cluster-autoscaler", "ebs-csi", "edge", "external-secrets"]
    error_message = "somebody has a role who calls nothing of AWS, or lacks one"
  }

  assert {
    condition     = aws_iam_role.this["edge"].name == "dormouse-dev-edge" && aws_iam_role.this["edge"].tags.environment == "dev"
    error_message = "roles have other names or no tags"
  }
}

run "a_role_is_for_one_service_account_of_one_cluster" {
  command = plan

  assert {
    condition = jsondecode(aws_iam_role.this["edge"].assume_role_policy).Statement[0].Condition.StringEquals == {
      "aws:RequestTag/eks-cluster-arn"            = "arn:aws:eks:us-east-1:123456789012:cluster/dormouse-dev"
      "aws:RequestTag/kubernetes-namespace"       = "dormouse"
      "aws:RequestTag/kubernetes-service-account" = "dormouse-edge"
    }
    error_message = "another pod could take the edge's role"
  }

  assert {
    condition     = alltrue([for role in aws_iam_role.this : jsondecode(role.assume_role_policy).Statement[0].Principal == { Service = "pods.eks.amazonaws.com" }])
    error_message = "a role can be taken without Pod Identity"
  }
}

run "no_right_is_wider_than_what_is_done_with_it" {
  command = plan

  assert {
    condition     = alltrue(flatten([for policy in aws_iam_role_policy.this : [for statement in jsondecode(policy.policy).Statement : [for action in statement.Action : !endswith(action, "*")]]]))
    error_message = "a right has a pattern for an action"
  }

  # "*" for a resource only where AWS knows no narrower one: describing what can be scaled, and scaling by tag.
  assert {
    condition = alltrue(flatten([for component, policy in aws_iam_role_policy.this : [
      for statement in jsondecode(policy.policy).Statement : !contains(statement.Resource, "*") || (
        component == "cluster-autoscaler" && (can(statement.Condition) || alltrue([for action in statement.Action : can(regex("^(autoscaling|ec2):(Describe|Get)", action))]))
      )
    ]]))
    error_message = "a right reaches everything"
  }
}

run "the_edge_reaches_its_prefix_of_one_bucket" {
  command = plan

  assert {
    condition     = jsondecode(aws_iam_role_policy.this["edge"].policy).Statement[0].Resource == ["arn:aws:s3:::documents/originals/*"]
    error_message = "the edge reaches objects beside the originals"
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.this["edge"].policy).Statement[2].Condition.StringEquals["kms:ViaService"] == "s3.us-east-1.amazonaws.com"
    error_message = "the edge could decrypt more than objects"
  }
}

run "external_secrets_reads_what_is_named" {
  command = plan

  assert {
    condition     = jsondecode(aws_iam_role_policy.this["external-secrets"].policy).Statement[0].Resource == ["arn:aws:secretsmanager:us-east-1:123456789012:secret:dormouse-dev/redis-password-AbCdEf"]
    error_message = "External Secrets reads other secrets"
  }
}

run "cert_manager_writes_proofs_and_no_names" {
  command = plan

  assert {
    condition     = jsondecode(aws_iam_role_policy.this["cert-manager"].policy).Statement[2].Condition["ForAllValues:StringEquals"]["route53:ChangeResourceRecordSetsRecordTypes"] == ["TXT"] && jsondecode(aws_iam_role_policy.this["cert-manager"].policy).Statement[2].Resource == [var.zone_arn]
    error_message = "cert-manager could lead the platform's name elsewhere"
  }
}

run "the_autoscaler_scales_its_own_cluster" {
  command = plan

  assert {
    condition     = jsondecode(aws_iam_role_policy.this["cluster-autoscaler"].policy).Statement[2].Condition.StringEquals == { "aws:ResourceTag/k8s.io/cluster-autoscaler/dormouse-dev" = "owned" }
    error_message = "the autoscaler may scale what is not the cluster's"
  }
}

run "a_pattern_for_secrets_is_refused" {
  command = plan

  variables {
    secret_arns = ["arn:aws:secretsmanager:us-east-1:123456789012:secret:*"]
  }

  expect_failures = [var.secret_arns]
}

run "a_prefix_with_slashes_is_refused" {
  command = plan

  variables {
    documents = { bucket_arn = "arn:aws:s3:::documents", prefix = "a/b" }
  }

  expect_failures = [var.documents]
}

run "a_component_without_a_service_account_is_refused" {
  command = plan

  variables {
    service_accounts = { edge = { namespace = "dormouse", name = "dormouse-edge" } }
  }

  expect_failures = [var.service_accounts]
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
