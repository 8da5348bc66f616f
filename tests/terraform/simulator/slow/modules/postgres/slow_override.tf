# The provider waits four minutes for any instance, however fast it is there.
resource "aws_db_instance" "this" {
  count = 0
}

output "host" {
  value = "postgres.simulated.internal"
}

output "port" {
  value = 5432
}

output "database" {
  value = var.database
}

output "owner" {
  value = var.owner
}

output "owner_secret_arn" {
  value = "arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!db-simulated"
}

output "identifier" {
  value = var.name
}
