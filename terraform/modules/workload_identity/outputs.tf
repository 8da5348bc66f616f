output "identities" {
  description = "By component: where its service account is, and its role. Pod Identity needs no annotation."
  value = {
    for component, role in aws_iam_role.this : component => {
      namespace       = var.service_accounts[component].namespace
      service_account = var.service_accounts[component].name
      annotations     = {}
      principal       = role.arn
    }
  }
}
