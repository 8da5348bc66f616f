variable "cluster_name" {
  description = "The cluster."
  type        = string
}

variable "tags" {
  description = "Tags of the add-ons."
  type        = map(string)
  default     = {}
}

variable "addons" {
  description = "Add-ons by EKS' name; version null takes the default for the cluster's Kubernetes, configuration is JSON."
  type = map(object({
    version       = optional(string)
    configuration = optional(string)
  }))
  default = {
    coredns            = {}
    aws-ebs-csi-driver = {}
  }

  validation {
    condition     = alltrue([for addon in var.addons : addon.configuration == null || can(jsondecode(addon.configuration))])
    error_message = "addons: configuration wants JSON, for instance jsonencode({ replicaCount = 2 })."
  }

  validation {
    condition     = contains(keys(var.addons), "coredns")
    error_message = "addons wants coredns: without it no service finds another."
  }
}
