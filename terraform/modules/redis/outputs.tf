output "host" {
  description = "Name of the node that takes writes; it stays the same over a failover."
  value       = aws_elasticache_replication_group.this.primary_endpoint_address
}

output "port" {
  description = "Port."
  value       = 6379
}

output "security_group_id" {
  description = "The group's security group."
  value       = aws_security_group.this.id
}
