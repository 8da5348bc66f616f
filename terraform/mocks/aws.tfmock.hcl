# What AWS would answer to the questions that plans ask.

mock_data "aws_region" {
  defaults = {
    name = "us-east-1"
  }
}

mock_data "aws_caller_identity" {
  defaults = {
    account_id = "123456789012"
  }
}

mock_data "aws_availability_zones" {
  defaults = {
    names = ["us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d"]
  }
}

mock_data "aws_secretsmanager_secret_version" {
  defaults = {
    secret_string = "0123456789abcdef0123456789abcdef"
  }
}
