output "arns" {
  description = "ARN by secret; generated ones have their value."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
  depends_on  = [aws_secretsmanager_secret_version.generated]
}

output "names" {
  description = "Name in Secrets Manager by secret."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.name }
}
