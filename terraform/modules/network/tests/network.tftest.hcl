mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name = "dormouse-dev"
  tags = { environment = "dev" }
}

run "three_zones_with_a_private_and_a_public_subnet_each" {
  command = plan

  assert {
    condition     = keys(aws_subnet.private) == ["us-east-1a", "us-east-1b", "us-east-1c"]
    error_message = "there is not one private subnet in each of the first three zones"
  }

  assert {
    condition     = [for subnet in aws_subnet.private : subnet.cidr_block] == ["10.40.0.0/19", "10.40.32.0/19", "10.40.64.0/19"]
    error_message = "private subnets do not have a /19 each"
  }

  assert {
    condition     = [for subnet in aws_subnet.public : subnet.cidr_block] == ["10.40.192.0/22", "10.40.196.0/22", "10.40.200.0/22"]
    error_message = "public subnets do not have a /22 each beside the private ones"
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.public : !subnet.map_public_ip_on_launch])
    error_message = "a public subnet gives public addresses to whatever starts in it"
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.private : subnet.tags["kubernetes.io/role/internal-elb"] == "1" && subnet.tags.environment == "dev"])
    error_message = "private subnets lack the tags of load balancers or of the environment"
  }

  assert {
    condition     = aws_vpc.this.tags == tomap({ environment = "dev", Name = "dormouse-dev" })
    error_message = "the VPC has other tags"
  }

  assert {
    condition     = length(aws_default_security_group.closed.ingress) == 0 && length(aws_default_security_group.closed.egress) == 0
    error_message = "the VPC's default group lets something through"
  }
}

run "one_gateway_serves_all_zones" {
  command = plan

  assert {
    condition     = keys(aws_nat_gateway.this) == ["us-east-1a"] && length(aws_route.nat) == 3
    error_message = "nat = single wants one gateway and a route to it from every zone"
  }
}

run "a_gateway_in_every_zone" {
  command = plan

  variables {
    nat = "per_zone"
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 3 && length(aws_route.nat) == 3
    error_message = "nat = per_zone wants a gateway and a route in every zone"
  }
}

run "no_way_out_but_endpoints" {
  command = plan

  variables {
    nat                 = "none"
    interface_endpoints = ["ec2", "ecr.api", "ecr.dkr", "eks", "eks-auth", "secretsmanager", "sts"]
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 0 && length(aws_route.nat) == 0 && length(aws_eip.nat) == 0
    error_message = "nat = none makes a gateway"
  }

  assert {
    condition     = aws_vpc_endpoint.interface["ecr.dkr"].service_name == "com.amazonaws.us-east-1.ecr.dkr"
    error_message = "the endpoint has another service"
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.endpoints[0].cidr_ipv4 == "10.40.0.0/16" && aws_vpc_security_group_ingress_rule.endpoints[0].from_port == 443
    error_message = "endpoints are open to more than HTTPS from the VPC"
  }
}

run "flow_logs_are_encrypted_and_end" {
  command = plan

  variables {
    flow_logs = { retention_days = 7, kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000" }
  }

  assert {
    condition     = aws_cloudwatch_log_group.flows[0].retention_in_days == 7 && aws_cloudwatch_log_group.flows[0].kms_key_id != null
    error_message = "the log has no end or no key"
  }
}

run "nodes_without_a_way_out_are_refused" {
  command = plan

  variables {
    nat = "none"
  }

  expect_failures = [var.nat]
}

run "an_unknown_kind_of_nat_is_refused" {
  command = plan

  variables {
    nat = "two"
  }

  expect_failures = [var.nat]
}

run "a_network_too_small_for_pods_is_refused" {
  command = plan

  variables {
    cidr = "10.40.0.0/24"
  }

  expect_failures = [var.cidr]
}

run "a_single_zone_is_refused" {
  command = plan

  variables {
    zones = 1
  }

  expect_failures = [var.zones]
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
