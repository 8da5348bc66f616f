mock_provider "aws" {
  source = "../../mocks"
}

variables {
  cluster_name   = "dormouse-dev"
  pool           = "gpu"
  gpu            = true
  tags           = { environment = "dev" }
  subnet_ids     = ["subnet-0a", "subnet-0b", "subnet-0c"]
  instance_types = ["g6.xlarge", "g5.xlarge"]
  on_demand      = { min = 0, max = 2 }
}

run "gpu_nodes_carry_nvidias_image_taint_and_labels" {
  command = plan

  assert {
    condition     = aws_eks_node_group.this["on_demand"].ami_type == "AL2023_x86_64_NVIDIA" && aws_eks_node_group.this["on_demand"].instance_types == tolist(["g6.xlarge", "g5.xlarge"])
    error_message = "the image lacks the driver, or other types are bought"
  }

  assert {
    condition     = [for taint in aws_eks_node_group.this["on_demand"].taint : "${taint.key}=${taint.value}:${taint.effect}"] == ["nvidia.com/gpu=present:NO_SCHEDULE"]
    error_message = "anything may land on a node with a GPU"
  }

  assert {
    condition     = aws_eks_node_group.this["on_demand"].labels["nvidia.com/gpu.present"] == "true" && aws_eks_node_group.this["on_demand"].labels["k8s.amazonaws.com/accelerator"] == "nvidia" && aws_eks_node_group.this["on_demand"].labels["dormouse.dev/pool"] == "gpu"
    error_message = "a label is missing that pods select by"
  }

  assert {
    condition     = output.taints == [{ key = "nvidia.com/gpu", value = "present", effect = "NoSchedule" }]
    error_message = "the output does not say what pods have to tolerate, as Kubernetes writes it"
  }
}

run "a_pool_sleeps_at_zero_and_wakes_up_to_its_max" {
  command = plan

  assert {
    condition     = aws_eks_node_group.this["on_demand"].scaling_config[0].min_size == 0 && aws_eks_node_group.this["on_demand"].scaling_config[0].desired_size == 0 && aws_eks_node_group.this["on_demand"].scaling_config[0].max_size == 2
    error_message = "the pool does not start at zero"
  }
}

run "spot_beside_on_demand_is_a_group_of_its_own" {
  command = plan

  variables {
    spot = { min = 0, max = 6 }
  }

  assert {
    condition     = { for kind, group in aws_eks_node_group.this : kind => group.capacity_type } == { on_demand = "ON_DEMAND", spot = "SPOT" }
    error_message = "there is not one group for each way to buy"
  }

  assert {
    condition     = aws_eks_node_group.this["spot"].node_group_name == "gpu-spot" && aws_eks_node_group.this["spot"].labels["dormouse.dev/capacity"] == "spot" && aws_eks_node_group.this["spot"].scaling_config[0].max_size == 6
    error_message = "the spot group has another name, label or size"
  }
}

run "ordinary_nodes_have_no_taint" {
  command = plan

  variables {
    pool           = "general"
    gpu            = false
    instance_types = ["m7i.large"]
  }

  assert {
    condition     = length(aws_eks_node_group.this["on_demand"].taint) == 0 && aws_eks_node_group.this["on_demand"].ami_type == "AL2023_x86_64_STANDARD"
    error_message = "ordinary nodes have a taint or another image"
  }
}

run "disks_are_encrypted_and_pods_cannot_take_the_nodes_role" {
  command = plan

  assert {
    condition     = aws_launch_template.node.block_device_mappings[0].ebs[0].encrypted == "true" && aws_launch_template.node.block_device_mappings[0].ebs[0].volume_type == "gp3"
    error_message = "disks are not encrypted"
  }

  assert {
    condition     = aws_launch_template.node.metadata_options[0].http_tokens == "required" && aws_launch_template.node.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "a pod can ask the node for the node's role"
  }

  assert {
    condition     = alltrue([for specification in aws_launch_template.node.tag_specifications : specification.tags.environment == "dev"]) && length(aws_launch_template.node.tag_specifications) == 2
    error_message = "instances or volumes lack the tags that costs are counted by"
  }
}

run "nodes_have_three_rights_and_no_more" {
  command = plan

  assert {
    condition = [for attachment in aws_iam_role_policy_attachment.node : attachment.policy_arn] == [
      "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly",
      "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy",
      "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy",
    ]
    error_message = "the nodes' role has other rights"
  }
}

run "a_gpu_pool_without_gpus_is_refused" {
  command = plan

  variables {
    instance_types = ["m7i.large"]
  }

  expect_failures = [var.instance_types]
}

run "gpus_that_nothing_could_use_are_refused" {
  command = plan

  variables {
    gpu = false
  }

  expect_failures = [var.instance_types]
}

run "a_pool_without_nodes_is_refused" {
  command = plan

  variables {
    on_demand = null
  }

  expect_failures = [var.on_demand]
}

run "a_max_below_the_min_is_refused" {
  command = plan

  variables {
    spot = { min = 3, max = 1 }
  }

  expect_failures = [var.spot]
}

run "a_disk_that_the_image_fills_is_refused" {
  command = plan

  variables {
    disk_gb = 8
  }

  expect_failures = [var.disk_gb]
}

run "a_taint_that_kubernetes_does_not_know_is_refused" {
  command = plan

  variables {
    taints = [{ key = "team", value = "a", effect = "NoSchedule" }]
  }

  expect_failures = [var.taints]
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
