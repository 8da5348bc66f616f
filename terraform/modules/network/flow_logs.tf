# Who talked to whom, by choice: it costs what it logs.

resource "aws_cloudwatch_log_group" "flows" {
  count = var.flow_logs == null ? 0 : 1

  name              = "/dormouse/${var.name}/flows"
  retention_in_days = var.flow_logs.retention_days
  kms_key_id        = var.flow_logs.kms_key_arn
  tags              = var.tags
}

resource "aws_iam_role" "flows" {
  count = var.flow_logs == null ? 0 : 1

  name = "${var.name}-flow-logs"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "vpc-flow-logs.amazonaws.com" }
    }]
  })
  tags = var.tags
}

resource "aws_iam_role_policy" "flows" {
  count = var.flow_logs == null ? 0 : 1

  name = "write-flow-logs"
  role = aws_iam_role.flows[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
      Resource = "${aws_cloudwatch_log_group.flows[0].arn}:*"
    }]
  })
}

resource "aws_flow_log" "this" {
  count = var.flow_logs == null ? 0 : 1

  vpc_id          = aws_vpc.this.id
  traffic_type    = "ALL"
  log_destination = aws_cloudwatch_log_group.flows[0].arn
  iam_role_arn    = aws_iam_role.flows[0].arn
  tags            = merge(var.tags, { Name = var.name })
}
