# An IAM role for each component that calls AWS, bound to its service account by EKS Pod Identity, with just the rights
# that it uses. agent_fn, tool_fn, embed_fn and the migrations call nothing of AWS: they have no role, and nodes give
# theirs to no pod.

data "aws_caller_identity" "here" {}
data "aws_region" "here" {}

locals {
  cluster_arn = "arn:aws:eks:${data.aws_region.here.name}:${data.aws_caller_identity.here.account_id}:cluster/${var.cluster_name}"

  # Rights by component. Each statement says on what; "*" stands only where AWS knows no narrower resource.
  statements = merge(
    {
      edge = [
        {
          Effect   = "Allow"
          Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
          Resource = ["${var.documents.bucket_arn}/${var.documents.prefix}/*"]
        },
        {
          Effect    = "Allow"
          Action    = ["s3:ListBucket"]
          Resource  = [var.documents.bucket_arn]
          Condition = { StringLike = { "s3:prefix" = ["${var.documents.prefix}/*"] } }
        },
        {
          Effect    = "Allow"
          Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
          Resource  = [var.kms_key_arn]
          Condition = { StringEquals = { "kms:ViaService" = "s3.${data.aws_region.here.name}.amazonaws.com" } }
        },
      ]

      external-secrets = [
        {
          Effect   = "Allow"
          Action   = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
          Resource = var.secret_arns
        },
        {
          Effect    = "Allow"
          Action    = ["kms:Decrypt"]
          Resource  = [var.kms_key_arn]
          Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${data.aws_region.here.name}.amazonaws.com" } }
        },
      ]

      cluster-autoscaler = [
        {
          # None of these knows a resource.
          Effect = "Allow"
          Action = [
            "autoscaling:DescribeAutoScalingGroups",
            "autoscaling:DescribeAutoScalingInstances",
            "autoscaling:DescribeLaunchConfigurations",
            "autoscaling:DescribeScalingActivities",
            "autoscaling:DescribeTags",
            "ec2:DescribeImages",
            "ec2:DescribeInstanceTypes",
            "ec2:DescribeLaunchTemplateVersions",
            "ec2:GetInstanceTypesFromInstanceRequirements",
          ]
          Resource = ["*"]
        },
        {
          # Labels and taints of a group that has no node yet.
          Effect   = "Allow"
          Action   = ["eks:DescribeNodegroup"]
          Resource = ["${replace(local.cluster_arn, ":cluster/", ":nodegroup/")}/*/*"]
        },
        {
          Effect    = "Allow"
          Action    = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
          Resource  = ["*"]
          Condition = { StringEquals = { "aws:ResourceTag/k8s.io/cluster-autoscaler/${var.cluster_name}" = "owned" } }
        },
      ]

      cert-manager = [
        {
          Effect   = "Allow"
          Action   = ["route53:GetChange"]
          Resource = ["arn:aws:route53:::change/*"]
        },
        {
          Effect   = "Allow"
          Action   = ["route53:ListResourceRecordSets"]
          Resource = [var.zone_arn]
        },
        {
          # Proofs for certificates are TXT records; the names that lead people here are not its business.
          Effect    = "Allow"
          Action    = ["route53:ChangeResourceRecordSets"]
          Resource  = [var.zone_arn]
          Condition = { "ForAllValues:StringEquals" = { "route53:ChangeResourceRecordSetsRecordTypes" = ["TXT"] } }
        },
      ]
    },
  )

  # The driver's rights follow the driver's version; AWS keeps them, and they reach only volumes that it made itself.
  managed_policies = { ebs-csi = "arn:aws:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy" }

  components = setunion(keys(local.statements), keys(local.managed_policies))
}

resource "aws_iam_role" "this" {
  for_each = local.components

  name = "${var.cluster_name}-${each.key}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Principal = { Service = "pods.eks.amazonaws.com" }
      # Only for this service account of this cluster, whatever associations somebody adds.
      Condition = {
        StringEquals = {
          "aws:RequestTag/eks-cluster-arn"            = local.cluster_arn
          "aws:RequestTag/kubernetes-namespace"       = var.service_accounts[each.key].namespace
          "aws:RequestTag/kubernetes-service-account" = var.service_accounts[each.key].name
        }
      }
    }]
  })
  tags = var.tags
}

resource "aws_iam_role_policy" "this" {
  for_each = local.statements

  name   = each.key
  role   = aws_iam_role.this[each.key].id
  policy = jsonencode({ Version = "2012-10-17", Statement = each.value })
}

resource "aws_iam_role_policy_attachment" "managed" {
  for_each = local.managed_policies

  role       = aws_iam_role.this[each.key].name
  policy_arn = each.value
}

resource "aws_eks_pod_identity_association" "this" {
  for_each = local.components

  cluster_name    = var.cluster_name
  namespace       = var.service_accounts[each.key].namespace
  service_account = var.service_accounts[each.key].name
  role_arn        = aws_iam_role.this[each.key].arn
  tags            = var.tags
}
