module "state" {
  source = "../"

  bucket = "dormouse-terraform-123456789012"
}
