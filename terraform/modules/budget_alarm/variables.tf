variable "name" {
  description = "The budget's name."
  type        = string
}

variable "tags" {
  description = "Tags of the budget."
  type        = map(string)
  default     = {}
}

variable "monthly_usd" {
  description = "What a month may cost, in US dollars."
  type        = number

  validation {
    condition     = var.monthly_usd > 0
    error_message = "monthly_usd wants more than nothing; docs/cost.md says what an environment costs asleep and awake."
  }
}

variable "emails" {
  description = "Who is told."
  type        = list(string)

  validation {
    condition     = length(var.emails) > 0 && length(var.emails) <= 10 && alltrue([for email in var.emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", email))])
    error_message = "emails wants 1 to 10 addresses: an alarm that nobody hears is none."
  }
}

variable "actual_percent" {
  description = "Shares of the budget at which mail goes out; one more goes out when the forecast passes 100."
  type        = set(number)
  default     = [50, 80, 100]

  validation {
    condition     = length(var.actual_percent) >= 1 && length(var.actual_percent) <= 4
    error_message = "actual_percent wants 1 to 4 shares; AWS takes five notifications a budget, and the forecast is one of them."
  }
}

variable "tag_filter" {
  description = "Count only what carries this tag; null counts the account. A tag counts only after it was activated as a cost allocation tag."
  type = object({
    key   = string
    value = string
  })
  default = null
}
