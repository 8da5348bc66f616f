variable "name" {
  description = "The key's alias, without `alias/`."
  type        = string
}

variable "tags" {
  description = "Tags of the key."
  type        = map(string)
  default     = {}
}

variable "deletion_window_days" {
  description = "How long a deleted key can be brought back. Without the key nothing can be read any more, backups included."
  type        = number
  default     = 30

  validation {
    condition     = var.deletion_window_days >= 7 && var.deletion_window_days <= 30
    error_message = "deletion_window_days wants 7 to 30, which is what KMS takes."
  }
}
