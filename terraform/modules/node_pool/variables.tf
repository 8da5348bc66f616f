variable "cluster_name" {
  description = "The cluster."
  type        = string
}

variable "pool" {
  description = "The pool's name; nodes carry it as the label dormouse.dev/pool."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.pool))
    error_message = "pool wants up to 20 lower-case letters, digits and hyphens, a letter first."
  }
}

variable "tags" {
  description = "Tags of everything that takes tags, instances and volumes among them."
  type        = map(string)
  default     = {}
}

variable "kubernetes_version" {
  description = "Minor version of the nodes; null follows the cluster."
  type        = string
  default     = null
}

variable "subnet_ids" {
  description = "Private subnets. A GPU pool that is to find capacity wants all zones."
  type        = list(string)
}

variable "instance_types" {
  description = "Instance types, the preferred first. Several of like size find capacity where one does not, spot above all; the autoscaler counts with the first."
  type        = list(string)

  validation {
    condition     = length(var.instance_types) > 0 && length(var.instance_types) <= 20
    error_message = "instance_types wants 1 to 20 types."
  }

  validation {
    condition     = !var.gpu || alltrue([for type in var.instance_types : can(regex("^(g4dn|g5|g6|g6e|gr6|p4d|p4de|p5|p5e|p5en)\\.", type))])
    error_message = "instance_types of a GPU pool wants types with an NVIDIA GPU on x86-64: g4dn, g5, g6, g6e, gr6, p4d, p4de, p5, p5e or p5en."
  }

  validation {
    condition     = var.gpu || alltrue([for type in var.instance_types : !can(regex("^(g|p)[0-9]", type))])
    error_message = "instance_types holds a GPU type; set gpu = true, or the pool pays for GPUs that nothing can use."
  }
}

variable "gpu" {
  description = "NVIDIA's image, the taint nvidia.com/gpu=present:NoSchedule and the label nvidia.com/gpu.present=true."
  type        = bool
  default     = false
}

variable "arm" {
  description = "Nodes on Graviton. The platform's images have to be built for it."
  type        = bool
  default     = false

  validation {
    condition     = !(var.arm && var.gpu)
    error_message = "arm cannot be had with gpu: there is no EKS image with NVIDIA's driver for the ARM types that this module knows."
  }
}

variable "on_demand" {
  description = "Nodes at the list price; null for none. min 0 lets the pool sleep."
  type = object({
    min = number
    max = number
  })
  default = null

  validation {
    condition     = var.on_demand != null || var.spot != null
    error_message = "on_demand and spot are both null: the pool would have no nodes. Give one of them, for instance on_demand = { min = 0, max = 2 }."
  }

  validation {
    condition     = try(var.on_demand.min >= 0 && var.on_demand.max >= 1 && var.on_demand.max >= var.on_demand.min, var.on_demand == null)
    error_message = "on_demand wants 0 <= min <= max and max >= 1."
  }
}

variable "spot" {
  description = "Nodes that AWS may take back with two minutes' notice, for a third to a half of the price; null for none."
  type = object({
    min = number
    max = number
  })
  default = null

  validation {
    condition     = try(var.spot.min >= 0 && var.spot.max >= 1 && var.spot.max >= var.spot.min, var.spot == null)
    error_message = "spot wants 0 <= min <= max and max >= 1."
  }
}

variable "disk_gb" {
  description = "Root disk. Images with CUDA are large; models lie on a volume of their own."
  type        = number
  default     = 50

  validation {
    condition     = var.disk_gb >= 20
    error_message = "disk_gb wants 20 at least: the image takes half of that."
  }
}

variable "labels" {
  description = "More labels."
  type        = map(string)
  default     = {}
}

variable "taints" {
  description = "More taints."
  type = list(object({
    key    = string
    value  = optional(string)
    effect = optional(string, "NO_SCHEDULE")
  }))
  default = []

  validation {
    condition     = alltrue([for taint in var.taints : contains(["NO_SCHEDULE", "NO_EXECUTE", "PREFER_NO_SCHEDULE"], taint.effect)])
    error_message = "taints: effect wants NO_SCHEDULE, NO_EXECUTE or PREFER_NO_SCHEDULE."
  }
}
