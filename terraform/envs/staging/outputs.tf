output "platform" {
  description = "What `make env-values` turns into Helm values: docs/environment-contract.md."
  value       = module.platform.platform
}

output "operations" {
  description = "What people need beside the chart."
  value       = module.platform.operations
}
