module "gpu_pool" {
  source = "../"

  cluster_name   = "dormouse-prod"
  pool           = "gpu"
  gpu            = true
  subnet_ids     = ["subnet-0a", "subnet-0b", "subnet-0c"]
  instance_types = ["g6.xlarge", "g5.xlarge"]
  on_demand      = { min = 0, max = 2 }
  spot           = { min = 0, max = 6 }
  disk_gb        = 100
}
