variable "zone" {
  description = "The zone's name, for instance dev.example.org."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.zone))
    error_message = "zone wants a domain name in lower case without a dot at its end, for instance dev.example.org."
  }
}

variable "create_zone" {
  description = "Make the zone. Otherwise there has to be one of that name in the account."
  type        = bool
  default     = true
}

variable "hosts" {
  description = "Names below the zone that lead to the platform; the certificate holds them all."
  type        = list(string)

  validation {
    condition     = length(var.hosts) > 0 && alltrue([for host in var.hosts : endswith(host, ".${var.zone}")])
    error_message = "hosts wants one name at least, each below the zone, for instance api.dev.example.org in dev.example.org."
  }
}

variable "load_balancer" {
  description = "Name of the load balancer that the cluster made for the gateway; null before there is one."
  type        = string
  default     = null
}

variable "wait_for_certificate" {
  description = "Wait until ACM has seen the validation records. Only once the zone's name servers stand in its parent, or it waits in vain."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of zone and certificate."
  type        = map(string)
  default     = {}
}
