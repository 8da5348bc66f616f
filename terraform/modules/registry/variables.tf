variable "name" {
  description = "Prefix of the repositories: name/part."
  type        = string
}

variable "tags" {
  description = "Tags of the repositories."
  type        = map(string)
  default     = {}
}

variable "parts" {
  description = "The images, as the chart names them."
  type        = set(string)
  default     = ["dormouse-edge", "dormouse-agent-fn", "dormouse-tool-fn", "dormouse-embed-fn", "dormouse-migrations", "dormouse-model-server", "dormouse-loadtest"]

  validation {
    condition     = alltrue([for part in var.parts : can(regex("^[a-z0-9]+(-[a-z0-9]+)*$", part))])
    error_message = "parts wants names of lower-case letters, digits and single hyphens."
  }
}

variable "kms_key_arn" {
  description = "Key of the images. A repository keeps the key that it was made with."
  type        = string
}

variable "keep_images" {
  description = "How many images of a part are kept. What a rollback may need has to be among them."
  type        = number
  default     = 50

  validation {
    condition     = var.keep_images >= 5
    error_message = "keep_images wants 5 at least, or a rollback may find its image gone."
  }
}

variable "untagged_days" {
  description = "How long images without a tag are kept."
  type        = number
  default     = 7
}

variable "force_delete" {
  description = "Let a destroy delete images too."
  type        = bool
  default     = false
}
