variable "name" {
  description = "The cluster's name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,61}[a-z0-9]$", var.name))
    error_message = "name wants 3 to 63 lower-case letters, digits and hyphens, a letter first."
  }
}

variable "tags" {
  description = "Tags of everything that takes tags."
  type        = map(string)
  default     = {}
}

variable "kubernetes_version" {
  description = "Minor version of Kubernetes, for instance 1.35. Upgrades go one version at a time."
  type        = string

  validation {
    condition     = can(regex("^1\\.[0-9]{2}$", var.kubernetes_version))
    error_message = "kubernetes_version wants a minor version in quotes, for instance \"1.35\"."
  }
}

variable "subnet_ids" {
  description = "Private subnets in two zones at least."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids wants subnets in at least two zones; EKS refuses less."
  }
}

variable "kms_key_arn" {
  description = "Key for Kubernetes' secrets and the control plane's logs."
  type        = string
}

variable "public_endpoint_cidrs" {
  description = "Networks that reach the API server from outside. Empty: only the VPC does. The private endpoint is always there."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.public_endpoint_cidrs : can(cidrnetmask(cidr)) && try(tonumber(split("/", cidr)[1]) >= 8, false)])
    error_message = "public_endpoint_cidrs wants IPv4 networks of /8 or smaller, for instance your office's 203.0.113.0/24; the whole internet is not a network that needs the API server."
  }
}

variable "access" {
  description = "Who may use the cluster: an IAM principal, its rights (admin, edit or view), and in which namespaces (none: everywhere)."
  type = map(object({
    principal_arn = string
    rights        = optional(string, "view")
    namespaces    = optional(list(string), [])
  }))
  default = {}

  validation {
    condition     = alltrue([for entry in var.access : contains(["admin", "edit", "view"], entry.rights)])
    error_message = "access: rights wants admin, edit or view."
  }

  validation {
    condition     = alltrue([for entry in var.access : can(regex("^arn:aws:iam::[0-9]{12}:(role|user)/", entry.principal_arn))])
    error_message = "access: principal_arn wants the ARN of an IAM role or user, arn:aws:iam::123456789012:role/name. For IAM Identity Center it is the role's ARN in IAM, without a session."
  }

  validation {
    condition     = alltrue([for entry in var.access : entry.rights != "admin" || length(entry.namespaces) == 0])
    error_message = "access: admin is a right over the whole cluster; leave namespaces out, or give edit."
  }
}

variable "logs" {
  description = "The control plane's logs: which, and for how long."
  type = object({
    types          = optional(list(string), ["api", "audit", "authenticator"])
    retention_days = optional(number, 30)
  })
  default = {}
}

variable "addon_versions" {
  description = "Version by add-on. What is not named takes EKS' default for the Kubernetes version."
  type        = map(string)
  default     = {}
}
