# Secrets by name. Those that nobody has to know are drawn by AWS and stored without passing through Terraform's state;
# of the others the place is made, and a person puts the value in.

resource "aws_secretsmanager_secret" "this" {
  for_each = merge(var.generated, var.provided)

  name                    = "${var.name}/${each.key}"
  description             = each.value.description
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.recovery_window_days
  tags                    = var.tags
}

ephemeral "aws_secretsmanager_random_password" "this" {
  for_each = var.generated

  password_length = each.value.length
  # They become parts of URLs, command lines and YAML.
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret_version" "generated" {
  for_each = var.generated

  secret_id                = aws_secretsmanager_secret.this[each.key].id
  secret_string_wo         = ephemeral.aws_secretsmanager_random_password.this[each.key].random_password
  secret_string_wo_version = each.value.edition
}
