variable "bucket" {
  description = "The bucket's name; unique in the world."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket wants 3 to 63 lower-case letters, digits and hyphens, without dots: with a dot TLS certificates do not fit."
  }
}

variable "tags" {
  description = "Tags of the bucket."
  type        = map(string)
  default     = {}
}

variable "kms_key_arn" {
  description = "Key of the objects."
  type        = string
}

variable "noncurrent_days" {
  description = "How long what was deleted or overwritten can be brought back."
  type        = number
  default     = 30

  validation {
    condition     = var.noncurrent_days >= 1
    error_message = "noncurrent_days wants 1 at least."
  }
}

variable "force_destroy" {
  description = "Let a destroy delete the documents too. Otherwise it fails while there are any."
  type        = bool
  default     = false
}
