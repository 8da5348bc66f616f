mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name        = "dormouse-dev"
  tags        = { environment = "dev" }
  monthly_usd = 500
  emails      = ["team@example.org"]
}

run "mail_on_the_way_and_when_the_forecast_passes_the_limit" {
  command = plan

  assert {
    condition     = aws_budgets_budget.this.limit_amount == "500" && aws_budgets_budget.this.limit_unit == "USD" && aws_budgets_budget.this.time_unit == "MONTHLY"
    error_message = "the budget is another"
  }

  assert {
    condition     = sort([for notification in aws_budgets_budget.this.notification : "${notification.notification_type} ${notification.threshold}"]) == tolist(["ACTUAL 100", "ACTUAL 50", "ACTUAL 80", "FORECASTED 100"])
    error_message = "mail goes out at other shares"
  }

  assert {
    condition     = alltrue([for notification in aws_budgets_budget.this.notification : notification.subscriber_email_addresses == toset(["team@example.org"])])
    error_message = "somebody else is told"
  }

  assert {
    condition     = length(aws_budgets_budget.this.cost_filter) == 0
    error_message = "the account's costs are not counted"
  }
}

run "one_environment_of_an_account" {
  command = plan

  variables {
    tag_filter = { key = "environment", value = "dev" }
  }

  assert {
    condition     = one(aws_budgets_budget.this.cost_filter).values == tolist(["user:environment$dev"])
    error_message = "the filter is not what AWS Budgets reads"
  }
}

run "an_alarm_that_nobody_hears_is_refused" {
  command = plan

  variables {
    emails = []
  }

  expect_failures = [var.emails]
}

run "a_budget_of_nothing_is_refused" {
  command = plan

  variables {
    monthly_usd = 0
  }

  expect_failures = [var.monthly_usd]
}

run "more_mails_than_aws_takes_are_refused" {
  command = plan

  variables {
    actual_percent = [10, 20, 30, 40, 50]
  }

  expect_failures = [var.actual_percent]
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
