# moto makes replication groups that the provider cannot read back, knows no parameter groups, and never deletes a subnet
# group.
resource "aws_elasticache_subnet_group" "this" {
  count = 0
}

resource "aws_elasticache_parameter_group" "this" {
  count = 0
}

resource "aws_elasticache_replication_group" "this" {
  count                = 0
  parameter_group_name = "none"
  subnet_group_name    = "none"
}

output "host" {
  value = "redis.simulated.internal"
}

# It forgets what a rule is for.
resource "aws_vpc_security_group_ingress_rule" "clients" {
  lifecycle {
    ignore_changes = [description]
  }
}
