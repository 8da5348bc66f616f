module "dns_tls" {
  source = "../"

  zone                 = "dev.example.org"
  hosts                = ["api.dev.example.org"]
  wait_for_certificate = true
  load_balancer        = "a1b2c3.elb.us-east-1.amazonaws.com"
}
