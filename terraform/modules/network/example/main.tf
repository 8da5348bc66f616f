module "network" {
  source = "../"

  name = "dormouse-dev"
  cidr = "10.40.0.0/16"
  nat  = "single"
  tags = { environment = "dev" }
}
