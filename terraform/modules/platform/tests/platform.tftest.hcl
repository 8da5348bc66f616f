mock_provider "aws" {
  source = "../../mocks"
}

variables {
  environment = "dev"
  domain      = { zone = "dev.example.org" }
  budget      = { monthly_usd = 500, emails = ["team@example.org"] }
  drawn_secrets = {
    redis-password                = "0123456789abcdef0123456789abcdef"
    postgres-application-password = "0123456789abcdef0123456789abcdef"
  }
  cluster = { access = { team = { principal_arn = "arn:aws:iam::123456789012:role/team", rights = "admin" } } }
}

run "names_come_from_installation_and_environment" {
  command = plan

  assert {
    condition     = output.platform.host == "api.dev.example.org" && output.platform.cluster.name == "dormouse-dev" && output.platform.documents.url == "s3://dormouse-dev-documents-123456789012/originals"
    error_message = "a name differs"
  }

  assert {
    condition     = output.platform.cluster.credentials == ["aws", "eks", "update-kubeconfig", "--region", "us-east-1", "--name", "dormouse-dev"]
    error_message = "the command for the cluster's credentials differs"
  }
}

run "the_gpu_pool_sleeps_and_says_what_pods_tolerate" {
  command = plan

  assert {
    condition     = output.platform.pools.gpu.tolerations == [{ key = "nvidia.com/gpu", operator = "Exists", effect = "NoSchedule" }]
    error_message = "pods are told to tolerate something else"
  }

  assert {
    condition     = output.platform.pools.gpu.max_nodes == 2
    error_message = "the pool's size is not told"
  }
}

run "a_pool_bought_as_spot_alone" {
  command = plan

  variables {
    gpu_pool = { spot = { min = 0, max = 1 } }
  }

  assert {
    condition     = output.platform.pools.gpu.max_nodes == 1
    error_message = "nodes are bought that nobody asked for"
  }
}

run "the_output_names_secrets_and_holds_none" {
  command = plan

  assert {
    condition     = output.platform.redis.password.secret == "dormouse-dev/redis-password" && output.platform.postgres.application.secret == "dormouse-dev/postgres-application-password"
    error_message = "secrets have other names"
  }
}

run "prod_cannot_be_thrown_away" {
  command = plan

  variables {
    environment = "prod"
    disposable  = true
  }

  expect_failures = [var.disposable]
}

run "a_cluster_that_nobody_could_enter_is_refused" {
  command = plan

  variables {
    cluster = { access = { team = { principal_arn = "arn:aws:iam::123456789012:role/team", rights = "view" } } }
  }

  expect_failures = [var.cluster]
}

run "a_cluster_without_a_node_for_the_autoscaler_is_refused" {
  command = plan

  variables {
    general_pool = { on_demand = { min = 0, max = 3 } }
  }

  expect_failures = [var.general_pool]
}

run "names_too_long_for_aws_are_refused" {
  command = plan

  variables {
    name        = "an-installation-with-a-long-name"
    environment = "Development"
  }

  expect_failures = [var.name, var.environment]
}
