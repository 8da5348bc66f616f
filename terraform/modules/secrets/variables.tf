variable "name" {
  description = "Prefix of the secrets: name/secret."
  type        = string
}

variable "tags" {
  description = "Tags of the secrets."
  type        = map(string)
  default     = {}
}

variable "kms_key_arn" {
  description = "Key of the secrets."
  type        = string
}

variable "generated" {
  description = "Secrets that are drawn, each with a value in `values`. A higher edition stores the value of that day."
  type = map(object({
    description = string
    edition     = optional(number, 1)
  }))
  default = {}
}

variable "values" {
  description = "A fresh value for each generated secret: 32 to 128 letters and digits, for they become parts of URLs and YAML. Used only when its edition is new."
  type        = map(string)
  ephemeral   = true
  default     = {}

  validation {
    condition     = alltrue([for value in values(var.values) : can(regex("^[A-Za-z0-9]{32,128}$", value))])
    error_message = "values wants 32 to 128 letters and digits for each secret; ElastiCache takes no more, and less is not worth its name."
  }
}

variable "provided" {
  description = "Secrets whose values a person puts in (aws secretsmanager put-secret-value)."
  type        = map(object({ description = string }))
  default     = {}

  validation {
    condition     = length(setintersection(keys(var.provided), keys(var.generated))) == 0
    error_message = "provided and generated hold the same name; a secret is one or the other."
  }
}

variable "recovery_window_days" {
  description = "How long a deleted secret can be brought back; 0 deletes at once, so that the name is free again."
  type        = number
  default     = 7

  validation {
    condition     = var.recovery_window_days == 0 || (var.recovery_window_days >= 7 && var.recovery_window_days <= 30)
    error_message = "recovery_window_days wants 0, or 7 to 30."
  }
}
