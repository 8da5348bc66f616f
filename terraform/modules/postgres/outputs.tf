output "host" {
  description = "Name to connect to; it stays the same over a failover."
  value       = aws_db_instance.this.address
}

output "port" {
  description = "Port."
  value       = aws_db_instance.this.port
}

output "database" {
  description = "The database."
  value       = aws_db_instance.this.db_name
}

output "owner" {
  description = "The role that owns the tables."
  value       = aws_db_instance.this.username
}

output "owner_secret_arn" {
  description = "Secret with the owner's `username` and `password`, kept and changed by RDS."
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}

output "identifier" {
  description = "The instance, for restores."
  value       = aws_db_instance.this.identifier
}

output "security_group_id" {
  description = "The instance's group."
  value       = aws_security_group.this.id
}
