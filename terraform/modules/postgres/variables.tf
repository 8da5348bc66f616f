variable "name" {
  description = "The instance's identifier."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,61}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "name wants up to 63 lower-case letters, digits and single hyphens, a letter first."
  }
}

variable "tags" {
  description = "Tags of everything that takes tags; snapshots inherit them."
  type        = map(string)
  default     = {}
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets in two zones at least, also for a single instance."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids wants subnets in at least two zones; RDS refuses less."
  }
}

variable "clients" {
  description = "Security groups that may connect, by a name for each."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "Key for storage, the owner's password and logs."
  type        = string
}

variable "engine_version" {
  description = "Postgres' major version, or major.minor. pgvector wants 16 or newer for half-precision vectors."
  type        = string
  default     = "17"

  validation {
    condition     = can(tonumber(split(".", var.engine_version)[0])) && try(tonumber(split(".", var.engine_version)[0]) >= 16, false)
    error_message = "engine_version wants 16 or newer, for instance \"17\": older ones come with a pgvector without halfvec."
  }
}

variable "instance_class" {
  description = "RDS' instance class."
  type        = string
  default     = "db.t4g.medium"

  validation {
    condition     = startswith(var.instance_class, "db.")
    error_message = "instance_class wants a class of RDS, for instance db.t4g.medium."
  }
}

variable "database" {
  description = "The database that is made."
  type        = string
  default     = "dormouse"
}

variable "owner" {
  description = "The role that owns the tables and runs migrations. Services connect as another one."
  type        = string
  default     = "dormouse_owner"

  validation {
    condition     = !contains(["postgres", "admin", "rdsadmin", "dormouse_app"], var.owner)
    error_message = "owner wants a name that RDS does not reserve and that is not the services' role."
  }
}

variable "storage" {
  description = "Disk in GB, and how far it may grow by itself."
  type = object({
    gb     = optional(number, 20)
    max_gb = optional(number, 100)
  })
  default = {}

  validation {
    condition     = var.storage.gb >= 20 && var.storage.max_gb > var.storage.gb
    error_message = "storage wants gb >= 20, and max_gb above gb: a full disk stops the database."
  }
}

variable "multi_az" {
  description = "A standby in another zone that takes over within a minute or two, for twice the price."
  type        = bool
  default     = false
}

variable "backups" {
  description = "Days for which any second can be restored, and when the daily snapshot is taken (UTC)."
  type = object({
    days   = optional(number, 7)
    window = optional(string, "02:00-03:00")
  })
  default = {}

  validation {
    condition     = var.backups.days >= 1 && var.backups.days <= 35
    error_message = "backups: days wants 1 to 35. None at all is no choice: everything that has to last is in this database."
  }
}

variable "maintenance_window" {
  description = "When RDS may restart the instance (UTC)."
  type        = string
  default     = "sun:03:30-sun:04:30"
}

variable "deletion_protection" {
  description = "A destroy fails until this is false; then it takes no final snapshot."
  type        = bool
  default     = true
}

variable "apply_immediately" {
  description = "Changes at once instead of in the maintenance window."
  type        = bool
  default     = false
}

variable "performance_insights" {
  description = "Which statements wait for what, for seven days. Not on the smallest classes."
  type        = bool
  default     = true
}

variable "log_retention_days" {
  description = "How long Postgres' log is kept."
  type        = number
  default     = 30
}

variable "parameters" {
  description = "More parameters, or other values for those of the module, but never without TLS."
  type = map(object({
    value = string
    apply = optional(string, "immediate")
  }))
  default = {}

  validation {
    condition     = try(var.parameters["rds.force_ssl"].value, "1") == "1"
    error_message = "parameters: rds.force_ssl stays 1; passwords do not travel in the clear."
  }
}
