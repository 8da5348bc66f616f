variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "tags" {
  description = "Tags of everything that takes tags."
  type        = map(string)
  default     = {}
}

variable "cidr" {
  description = "The VPC's addresses. Must not overlap with networks it will be peered with."
  type        = string
  default     = "10.40.0.0/16"

  validation {
    condition     = can(cidrnetmask(var.cidr)) && try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 20, false)
    error_message = "cidr wants an IPv4 network from /16 to /20, for instance 10.40.0.0/16: every pod takes an address of its own."
  }
}

variable "zones" {
  description = "How many availability zones. RDS and EKS want two at least."
  type        = number
  default     = 3

  validation {
    condition     = contains([2, 3], var.zones)
    error_message = "zones wants 2 or 3."
  }
}

variable "nat" {
  description = "How private subnets reach the internet: `none`, `single` (one gateway, one zone's death cuts all off) or `per_zone`."
  type        = string
  default     = "single"

  validation {
    condition     = contains(["none", "single", "per_zone"], var.nat)
    error_message = "nat wants none, single or per_zone."
  }

  validation {
    condition = var.nat != "none" || length(setsubtract(
      ["ec2", "ecr.api", "ecr.dkr", "eks", "eks-auth", "secretsmanager", "sts"], var.interface_endpoints
    )) == 0
    error_message = "With nat = \"none\" nodes reach AWS through endpoints only: interface_endpoints wants at least ec2, ecr.api, ecr.dkr, eks, eks-auth, secretsmanager and sts."
  }
}

variable "interface_endpoints" {
  description = "AWS services reached without NAT, by the last part of their name, for instance ecr.dkr. Each costs by the hour and zone."
  type        = set(string)
  default     = []
}

variable "flow_logs" {
  description = "Log of all connections; null for none."
  type = object({
    retention_days = optional(number, 30)
    kms_key_arn    = optional(string)
  })
  default = null
}
