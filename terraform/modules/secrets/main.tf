# Secrets by name. Those that nobody has to know come as ephemeral values, drawn by AWS in the environment's root: they are
# stored without passing through Terraform's state. Of the others the place is made, and a person puts the value in.

resource "aws_secretsmanager_secret" "this" {
  for_each = merge(var.generated, var.provided)

  name                    = "${var.name}/${each.key}"
  description             = each.value.description
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.recovery_window_days
  tags                    = var.tags
}

resource "aws_secretsmanager_secret_version" "generated" {
  for_each = var.generated

  secret_id                = aws_secretsmanager_secret.this[each.key].id
  secret_string_wo         = var.values[each.key]
  secret_string_wo_version = each.value.edition
}
