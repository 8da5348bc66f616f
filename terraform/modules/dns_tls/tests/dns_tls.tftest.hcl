mock_provider "aws" {
  source = "../../mocks"
}

variables {
  zone  = "dev.example.org"
  hosts = ["api.dev.example.org", "console.dev.example.org"]
  tags  = { environment = "dev" }
}

run "a_zone_and_a_certificate_for_all_hosts" {
  command = plan

  assert {
    condition     = aws_route53_zone.this[0].name == "dev.example.org" && aws_route53_zone.this[0].tags.environment == "dev"
    error_message = "the zone has another name or no tags"
  }

  assert {
    condition     = aws_acm_certificate.this.domain_name == "api.dev.example.org" && aws_acm_certificate.this.subject_alternative_names == toset(["console.dev.example.org"]) && aws_acm_certificate.this.validation_method == "DNS"
    error_message = "the certificate is for other names"
  }

  assert {
    condition     = length(aws_route53_record.validation) == 2 && length(aws_acm_certificate_validation.this) == 0 && length(aws_route53_record.load_balancer) == 0
    error_message = "there is not one proof for each host, or a first apply would wait for a zone that nobody knows yet"
  }
}

run "hosts_lead_to_the_load_balancer_once_there_is_one" {
  command = plan

  variables {
    load_balancer = "a1b2c3.elb.us-east-1.amazonaws.com"
  }

  assert {
    condition     = aws_route53_record.load_balancer["api.dev.example.org"].records == toset(["a1b2c3.elb.us-east-1.amazonaws.com"]) && aws_route53_record.load_balancer["api.dev.example.org"].type == "CNAME"
    error_message = "the host leads elsewhere"
  }
}

run "a_zone_that_is_there_already" {
  command = plan

  variables {
    create_zone = false
  }

  assert {
    condition     = length(aws_route53_zone.this) == 0
    error_message = "a second zone of that name would be made"
  }
}

run "a_host_outside_the_zone_is_refused" {
  command = plan

  variables {
    hosts = ["api.example.org"]
  }

  expect_failures = [var.hosts]
}

run "a_zone_with_a_dot_at_its_end_is_refused" {
  command = plan

  variables {
    zone  = "dev.example.org."
    hosts = ["api.dev.example.org."]
  }

  expect_failures = [var.zone]
}

run "the_example_of_the_readme" {
  command = plan

  module {
    source = "./example"
  }

  providers = {
    aws = aws
  }
}
