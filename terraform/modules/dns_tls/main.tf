# The zone of an environment's names, a certificate for load balancers, and the name that leads to the platform.

data "aws_route53_zone" "existing" {
  count = var.create_zone ? 0 : 1

  name = var.zone
}

resource "aws_route53_zone" "this" {
  count = var.create_zone ? 1 : 0

  name = var.zone
  tags = var.tags
}

locals {
  zone_id      = var.create_zone ? aws_route53_zone.this[0].zone_id : data.aws_route53_zone.existing[0].zone_id
  zone_arn     = var.create_zone ? aws_route53_zone.this[0].arn : data.aws_route53_zone.existing[0].arn
  name_servers = var.create_zone ? aws_route53_zone.this[0].name_servers : data.aws_route53_zone.existing[0].name_servers
}

resource "aws_acm_certificate" "this" {
  domain_name               = var.hosts[0]
  subject_alternative_names = slice(var.hosts, 1, length(var.hosts))
  validation_method         = "DNS"
  tags                      = merge(var.tags, { Name = var.hosts[0] })

  lifecycle {
    create_before_destroy = true
  }
}

# Asked for by host, not by what ACM lists: so the plan knows how many there will be.
resource "aws_route53_record" "validation" {
  for_each = toset(var.hosts)

  zone_id         = local.zone_id
  name            = one([for option in aws_acm_certificate.this.domain_validation_options : option.resource_record_name if option.domain_name == each.key])
  type            = one([for option in aws_acm_certificate.this.domain_validation_options : option.resource_record_type if option.domain_name == each.key])
  records         = [for option in aws_acm_certificate.this.domain_validation_options : option.resource_record_value if option.domain_name == each.key]
  ttl             = 300
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "this" {
  count = var.wait_for_certificate ? 1 : 0

  certificate_arn         = aws_acm_certificate.this.arn
  validation_record_fqdns = [for record in aws_route53_record.validation : record.fqdn]
}

resource "aws_route53_record" "load_balancer" {
  for_each = var.load_balancer == null ? [] : toset(var.hosts)

  zone_id = local.zone_id
  name    = each.key
  type    = "CNAME"
  ttl     = 300
  records = [var.load_balancer]
}
