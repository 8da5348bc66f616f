module "key" {
  source = "../"

  name = "dormouse-dev"
  tags = { environment = "dev" }
}
