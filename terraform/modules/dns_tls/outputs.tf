output "zone_id" {
  description = "The zone."
  value       = local.zone_id
}

output "zone_arn" {
  description = "The zone's ARN, for rights on it."
  value       = local.zone_arn
}

output "name_servers" {
  description = "What has to stand as NS records in the parent zone."
  value       = local.name_servers
}

output "certificate_arn" {
  description = "Certificate for a load balancer that ends TLS itself."
  value       = aws_acm_certificate.this.arn
}
