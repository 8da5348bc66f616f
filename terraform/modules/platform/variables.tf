variable "name" {
  description = "The installation's name; with the environment it prefixes every name."
  type        = string
  default     = "dormouse"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,14}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "name wants 2 to 16 lower-case letters, digits and single hyphens: it becomes part of names that AWS limits."
  }
}

variable "environment" {
  description = "The environment's name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,9}$", var.environment))
    error_message = "environment wants 2 to 10 lower-case letters and digits, for instance dev."
  }
}

variable "tags" {
  description = "More tags for everything."
  type        = map(string)
  default     = {}
}

variable "disposable" {
  description = "A destroy may take the data with it: no deletion protection, no final snapshot, buckets and repositories emptied."
  type        = bool
  default     = false

  validation {
    condition     = !(var.disposable && startswith(var.environment, "prod"))
    error_message = "disposable cannot be true for prod: a destroy would take backups and documents with it. To take prod down, set deletion protection aside by hand (docs/environments.md)."
  }
}

variable "domain" {
  description = "The zone and the platform's name in it (api.<zone> by default). load_balancer and delegated are filled in on the way: see docs/environments.md."
  type = object({
    zone          = string
    host          = optional(string)
    create_zone   = optional(bool, true)
    delegated     = optional(bool, false)
    load_balancer = optional(string)
  })
}

variable "network" {
  description = "Addresses and ways out. nat: none, single or per_zone."
  type = object({
    cidr                = optional(string, "10.40.0.0/16")
    nat                 = optional(string, "single")
    interface_endpoints = optional(set(string), [])
    flow_log_days       = optional(number)
  })
  default = {}
}

variable "cluster" {
  description = "The control plane. access: who may use it (rights: admin, edit or view)."
  type = object({
    kubernetes_version    = optional(string, "1.35")
    public_endpoint_cidrs = optional(list(string), [])
    log_retention_days    = optional(number, 30)
    access = optional(map(object({
      principal_arn = string
      rights        = optional(string, "view")
      namespaces    = optional(list(string), [])
    })), {})
  })
  default = {}

  validation {
    condition     = anytrue([for entry in var.cluster.access : entry.rights == "admin"])
    error_message = "cluster: access wants one admin at least. The cluster knows nobody but those named here, not even who makes it."
  }
}

variable "general_pool" {
  description = "Nodes for everything without a GPU."
  type = object({
    instance_types = optional(list(string), ["m7i.large", "m6i.large", "m7a.large", "m6a.large"])
    on_demand      = optional(object({ min = number, max = number }))
    spot           = optional(object({ min = number, max = number }))
  })
  default = { on_demand = { min = 2, max = 6 } }

  validation {
    condition     = try(var.general_pool.on_demand.min, 0) + try(var.general_pool.spot.min, 0) >= 1
    error_message = "general_pool wants a min of 1 at least: the autoscaler that wakes other nodes has to run somewhere."
  }
}

variable "gpu_pool" {
  description = "Nodes for Ollama, down to none while no model is asked."
  type = object({
    instance_types = optional(list(string), ["g6.xlarge", "g5.xlarge"])
    on_demand      = optional(object({ min = number, max = number }))
    spot           = optional(object({ min = number, max = number }))
    disk_gb        = optional(number, 100)
  })
  default = { on_demand = { min = 0, max = 2 } }
}

variable "postgres" {
  description = "The database."
  type = object({
    instance_class = optional(string, "db.t4g.medium")
    multi_az       = optional(bool, false)
    storage_gb     = optional(number, 20)
    storage_max_gb = optional(number, 100)
    backup_days    = optional(number, 7)
  })
  default = {}
}

variable "redis" {
  description = "Valkey."
  type = object({
    node_type = optional(string, "cache.t4g.small")
    replicas  = optional(number, 0)
  })
  default = {}
}
