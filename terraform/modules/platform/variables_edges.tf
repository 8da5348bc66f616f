variable "documents" {
  description = "The bucket of the documents: how long what was deleted can be brought back."
  type = object({
    noncurrent_days = optional(number, 30)
  })
  default = {}
}

variable "registry" {
  description = "The image repositories."
  type = object({
    keep_images = optional(number, 50)
  })
  default = {}
}

variable "budget" {
  description = "What a month may cost and who is told. only_this_environment counts by the tag `environment`, which has to be activated as a cost allocation tag; otherwise the account counts."
  type = object({
    monthly_usd           = number
    emails                = list(string)
    only_this_environment = optional(bool, false)
  })
}

variable "drawn_secrets" {
  description = "A fresh value each for redis-password and postgres-application-password; only those of a new edition are stored."
  type        = map(string)
  ephemeral   = true
}

variable "secret_editions" {
  description = "Raise one to draw that secret anew at the next apply."
  type = object({
    redis_password                = optional(number, 1)
    postgres_application_password = optional(number, 1)
  })
  default = {}
}

variable "provided_secrets" {
  description = "Secrets whose values people put in: description by name, for instance tavily-api-key. The chart offers them to tool_fn."
  type        = map(string)
  default     = {}
}
