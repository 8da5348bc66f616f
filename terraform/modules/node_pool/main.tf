# Nodes of one kind. Bought on demand, as spot, or both: EKS wants a node group for each, and they share everything else.

locals {
  groups = { for kind, size in { on_demand = var.on_demand, spot = var.spot } : kind => size if size != null }

  ami_type = var.gpu ? "AL2023_x86_64_NVIDIA" : var.arm ? "AL2023_ARM_64_STANDARD" : "AL2023_x86_64_STANDARD"

  labels = merge(
    { "dormouse.dev/pool" = var.pool },
    # The first is what the NVIDIA device plugin looks for; by the second the autoscaler knows that a node's GPUs are still to
    # come, and buys no further node meanwhile.
    var.gpu ? { "nvidia.com/gpu.present" = "true", "k8s.amazonaws.com/accelerator" = "nvidia" } : {},
    var.labels,
  )
  # Nothing but what asks for a GPU may land on a node that costs ten times the others.
  taints = concat(var.gpu ? [{ key = "nvidia.com/gpu", value = "present", effect = "NO_SCHEDULE" }] : [], var.taints)
}

resource "aws_iam_role" "node" {
  name = "${var.cluster_name}-${var.pool}-node"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
  tags = var.tags
}

resource "aws_iam_role_policy_attachment" "node" {
  for_each = toset(["AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly"])

  role       = aws_iam_role.node.name
  policy_arn = "arn:aws:iam::aws:policy/${each.key}"
}

resource "aws_launch_template" "node" {
  name                   = "${var.cluster_name}-${var.pool}"
  update_default_version = true

  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size           = var.disk_gb
      volume_type           = "gp3"
      encrypted             = true
      delete_on_termination = true
    }
  }

  # One hop: no pod can ask the node for the node's role.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume"])

    content {
      resource_type = tag_specifications.key
      tags          = merge(var.tags, { Name = "${var.cluster_name}-${var.pool}" })
    }
  }

  tags = var.tags
}

resource "aws_eks_node_group" "this" {
  for_each = local.groups

  cluster_name    = var.cluster_name
  node_group_name = "${var.pool}-${replace(each.key, "_", "-")}"
  node_role_arn   = aws_iam_role.node.arn
  subnet_ids      = var.subnet_ids
  version         = var.kubernetes_version

  ami_type       = local.ami_type
  capacity_type  = upper(each.key)
  instance_types = var.instance_types
  labels         = merge(local.labels, { "dormouse.dev/capacity" = replace(each.key, "_", "-") })

  launch_template {
    id      = aws_launch_template.node.id
    version = aws_launch_template.node.latest_version
  }

  scaling_config {
    min_size     = each.value.min
    max_size     = each.value.max
    desired_size = each.value.min
  }

  update_config {
    max_unavailable = 1
  }

  dynamic "taint" {
    for_each = local.taints

    content {
      key    = taint.value.key
      value  = taint.value.value
      effect = taint.value.effect
    }
  }

  tags = merge(var.tags, { Name = "${var.cluster_name}-${var.pool}-${replace(each.key, "_", "-")}" })

  lifecycle {
    # How many there are is the autoscaler's business.
    ignore_changes = [scaling_config[0].desired_size]
  }

  depends_on = [aws_iam_role_policy_attachment.node]
}
