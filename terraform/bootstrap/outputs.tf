output "backend" {
  description = "What every environment's `terraform init -backend-config` wants; write it to terraform/backend.hcl."
  value       = <<-HCL
    bucket       = "${module.state.bucket}"
    region       = "${var.region}"
    kms_key_id   = "${module.state.kms_key_arn}"
    encrypt      = true
    use_lockfile = true
  HCL
}
