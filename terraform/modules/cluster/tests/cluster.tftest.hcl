mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name               = "dormouse-dev"
  tags               = { environment = "dev" }
  kubernetes_version = "1.35"
  subnet_ids         = ["subnet-0a", "subnet-0b", "subnet-0c"]
  kms_key_arn        = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  access = {
    team    = { principal_arn = "arn:aws:iam::123456789012:role/team", rights = "admin" }
    support = { principal_arn = "arn:aws:iam::123456789012:role/support", namespaces = ["dormouse"] }
  }
}

run "the_api_server_is_private_unless_networks_are_named" {
  command = plan

  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_private_access && !aws_eks_cluster.this.vpc_config[0].endpoint_public_access
    error_message = "the API server can be reached from outside"
  }
}

run "named_networks_reach_the_api_server" {
  command = plan

  variables {
    public_endpoint_cidrs = ["203.0.113.0/24"]
  }

  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_public_access && aws_eks_cluster.this.vpc_config[0].public_access_cidrs == toset(["203.0.113.0/24"])
    error_message = "the public endpoint is open to others than the named networks"
  }
}

run "secrets_and_logs_are_encrypted_with_our_key" {
  command = plan

  assert {
    condition     = aws_eks_cluster.this.encryption_config[0].provider[0].key_arn == var.kms_key_arn && aws_eks_cluster.this.encryption_config[0].resources == toset(["secrets"])
    error_message = "Kubernetes' secrets are not encrypted with the key"
  }

  assert {
    condition     = aws_cloudwatch_log_group.control_plane.name == "/aws/eks/dormouse-dev/cluster" && aws_cloudwatch_log_group.control_plane.kms_key_id == var.kms_key_arn && aws_cloudwatch_log_group.control_plane.retention_in_days == 30
    error_message = "the control plane's log has another name, no key or no end"
  }

  assert {
    condition     = contains(aws_eks_cluster.this.enabled_cluster_log_types, "audit")
    error_message = "there is no audit log"
  }
}

run "rights_come_from_access_entries_alone" {
  command = plan

  assert {
    condition     = aws_eks_cluster.this.access_config[0].authentication_mode == "API" && !aws_eks_cluster.this.access_config[0].bootstrap_cluster_creator_admin_permissions
    error_message = "whoever made the cluster keeps rights that no entry shows"
  }

  assert {
    condition     = aws_eks_access_policy_association.this["team"].policy_arn == "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy" && aws_eks_access_policy_association.this["team"].access_scope[0].type == "cluster"
    error_message = "the admin is none"
  }

  assert {
    condition     = aws_eks_access_policy_association.this["support"].policy_arn == "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy" && aws_eks_access_policy_association.this["support"].access_scope[0].namespaces == toset(["dormouse"])
    error_message = "support sees more than its namespace, or may do more than look"
  }
}

run "add_ons_that_pods_need_from_the_first_node_on" {
  command = plan

  assert {
    condition     = keys(aws_eks_addon.this) == ["eks-pod-identity-agent", "kube-proxy", "vpc-cni"]
    error_message = "an add-on is missing"
  }

  assert {
    condition     = jsondecode(aws_eks_addon.this["vpc-cni"].configuration_values).enableNetworkPolicy == "true"
    error_message = "NetworkPolicies would not be enforced"
  }

  assert {
    condition     = !aws_eks_cluster.this.bootstrap_self_managed_addons && aws_eks_cluster.this.upgrade_policy[0].support_type == "STANDARD"
    error_message = "EKS installs add-ons of its own, or old versions are paid for silently"
  }
}

run "the_cluster_may_use_one_key_and_nothing_else_of_ours" {
  command = plan

  assert {
    condition     = [for statement in jsondecode(aws_iam_role_policy.key.policy).Statement : statement.Resource] == [var.kms_key_arn]
    error_message = "the cluster's role reaches more than the key"
  }

  assert {
    condition     = jsondecode(aws_iam_role.cluster.assume_role_policy).Statement[0].Principal.Service == "eks.amazonaws.com"
    error_message = "somebody else can take the cluster's role"
  }
}

run "the_whole_internet_is_refused" {
  command = plan

  variables {
    public_endpoint_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.public_endpoint_cidrs]
}

run "rights_that_do_not_exist_are_refused" {
  command = plan

  variables {
    access = { team = { principal_arn = "arn:aws:iam::123456789012:role/team", rights = "root" } }
  }

  expect_failures = [var.access]
}

run "a_principal_that_is_none_is_refused" {
  command = plan

  variables {
    access = { team = { principal_arn = "team@example.org", rights = "view" } }
  }

  expect_failures = [var.access]
}

run "an_admin_of_one_namespace_is_refused" {
  command = plan

  variables {
    access = { team = { principal_arn = "arn:aws:iam::123456789012:role/team", rights = "admin", namespaces = ["dormouse"] } }
  }

  expect_failures = [var.access]
}

run "a_version_that_is_a_number_of_three_parts_is_refused" {
  command = plan

  variables {
    kubernetes_version = "1.35.2"
  }

  expect_failures = [var.kubernetes_version]
}

run "one_subnet_is_refused" {
  command = plan

  variables {
    subnet_ids = ["subnet-0a"]
  }

  expect_failures = [var.subnet_ids]
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
