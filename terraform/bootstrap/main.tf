# The first thing in an empty account: the bucket that keeps the state of every environment. Its own state starts on the
# machine of whoever runs this and moves into the bucket with `terraform init -migrate-state` (docs/environments.md).

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]
}

module "state" {
  source = "../modules/state"

  bucket        = "${var.name}-terraform-${var.account_id}"
  force_destroy = var.force_destroy
  tags          = { application = var.name, managed-by = "terraform" }
}
