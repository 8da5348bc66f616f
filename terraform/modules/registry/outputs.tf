output "repositories" {
  description = "URL of the repository by part."
  value       = { for part, repository in aws_ecr_repository.this : part => repository.repository_url }
}

output "host" {
  description = "The registry to log in to."
  value       = split("/", values(aws_ecr_repository.this)[0].repository_url)[0]
}
