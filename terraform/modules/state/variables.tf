variable "bucket" {
  description = "The bucket's name; unique in the world."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket wants 3 to 63 lower-case letters, digits and hyphens."
  }
}

variable "tags" {
  description = "Tags of bucket and key."
  type        = map(string)
  default     = {}
}

variable "noncurrent_days" {
  description = "How long an old state can be brought back; the ten newest stay in any case."
  type        = number
  default     = 90

  validation {
    condition     = var.noncurrent_days >= 30
    error_message = "noncurrent_days wants 30 at least: a broken state is often seen late."
  }
}

variable "force_destroy" {
  description = "Let a destroy delete the states of all environments. Only after the last of them is gone."
  type        = bool
  default     = false
}
