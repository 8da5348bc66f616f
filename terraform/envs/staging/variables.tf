variable "account_id" {
  description = "The AWS account; a run with credentials of another one is refused."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id wants the account's twelve digits in quotes."
  }
}

variable "region" {
  description = "The AWS region."
  type        = string
  default     = "us-east-1"
}

variable "domain" {
  description = "The zone, and what is filled in on the way (docs/environments.md)."
  type = object({
    zone          = string
    host          = optional(string)
    create_zone   = optional(bool, true)
    delegated     = optional(bool, false)
    load_balancer = optional(string)
  })
}

variable "access" {
  description = "Who may use the cluster: an IAM principal and its rights (admin, edit or view). One admin at least."
  type = map(object({
    principal_arn = string
    rights        = optional(string, "view")
    namespaces    = optional(list(string), [])
  }))
}

variable "office_cidrs" {
  description = "Networks that reach the API server from outside the VPC."
  type        = list(string)
  default     = []
}

variable "budget_emails" {
  description = "Who is told when the month gets expensive."
  type        = list(string)
}

variable "provided_secrets" {
  description = "Secrets whose values people put in: description by name."
  type        = map(string)
  default     = {}
}
