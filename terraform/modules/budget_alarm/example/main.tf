module "budget_alarm" {
  source = "../"

  name        = "dormouse-dev"
  monthly_usd = 500
  emails      = ["platform-team@example.org"]
}
