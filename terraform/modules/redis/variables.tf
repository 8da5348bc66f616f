variable "name" {
  description = "The replication group's id."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,38}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "name wants up to 40 lower-case letters, digits and single hyphens, a letter first."
  }
}

variable "tags" {
  description = "Tags of everything that takes tags."
  type        = map(string)
  default     = {}
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets."
  type        = list(string)
}

variable "clients" {
  description = "Security groups that may connect, by a name for each."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "Key for what lies on disk."
  type        = string
}

variable "password_secret_arn" {
  description = "Secret that holds the password: 16 to 128 letters and digits."
  type        = string
}

variable "engine_version" {
  description = "Valkey's version."
  type        = string
  default     = "8.0"

  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+$", var.engine_version)) && try(tonumber(var.engine_version) >= 7.2, false)
    error_message = "engine_version wants a version of Valkey, 7.2 or newer, for instance \"8.0\"."
  }
}

variable "node_type" {
  description = "ElastiCache's node type. Memory is what counts: about 10 kB for each run of the last hour."
  type        = string
  default     = "cache.t4g.small"

  validation {
    condition     = startswith(var.node_type, "cache.")
    error_message = "node_type wants a type of ElastiCache, for instance cache.t4g.small."
  }
}

variable "replicas" {
  description = "Copies in other zones. With one at least, a failover takes seconds; with none, runs stream without resume until the node is back."
  type        = number
  default     = 0

  validation {
    condition     = var.replicas >= 0 && var.replicas <= 5
    error_message = "replicas wants 0 to 5."
  }
}

variable "snapshot_days" {
  description = "Days for which snapshots are kept. 0: none; nothing in here has to outlive it."
  type        = number
  default     = 0
}

variable "maintenance_window" {
  description = "When ElastiCache may restart nodes (UTC)."
  type        = string
  default     = "sun:04:30-sun:05:30"
}

variable "apply_immediately" {
  description = "Changes at once instead of in the maintenance window."
  type        = bool
  default     = false
}
