variable "account_id" {
  description = "The AWS account; a run with credentials of another one is refused."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id wants the account's twelve digits in quotes."
  }
}

variable "region" {
  description = "The region of the bucket."
  type        = string
}

variable "name" {
  description = "The installation's name."
  type        = string
  default     = "dormouse"
}

variable "force_destroy" {
  description = "Let a destroy delete all states. Only after the last environment is gone."
  type        = bool
  default     = false
}
