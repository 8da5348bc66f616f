output "names" {
  description = "The add-ons, ready."
  value       = [for addon in aws_eks_addon.this : addon.addon_name]
}
