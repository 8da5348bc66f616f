variable "cluster_name" {
  description = "The cluster; roles are named after it."
  type        = string
}

variable "tags" {
  description = "Tags of roles and associations."
  type        = map(string)
  default     = {}
}

variable "documents" {
  description = "The bucket of the documents, and the prefix below which the edge keeps originals."
  type = object({
    bucket_arn = string
    prefix     = string
  })

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]+$", var.documents.prefix))
    error_message = "documents: prefix wants one name without slashes; the edge gets rights below it and nowhere else."
  }
}

variable "kms_key_arn" {
  description = "Key of documents and secrets."
  type        = string
}

variable "secret_arns" {
  description = "The secrets that External Secrets may read, each by its own ARN."
  type        = list(string)

  validation {
    condition     = alltrue([for arn in var.secret_arns : !strcontains(arn, "*")])
    error_message = "secret_arns wants whole ARNs: a pattern would let External Secrets read what others keep in the account."
  }
}

variable "zone_arn" {
  description = "The zone in which cert-manager proves that names are ours."
  type        = string
}

variable "service_accounts" {
  description = "Namespace and service account by component."
  type = map(object({
    namespace = string
    name      = string
  }))
  default = {
    edge               = { namespace = "dormouse", name = "dormouse-edge" }
    external-secrets   = { namespace = "external-secrets", name = "external-secrets" }
    cluster-autoscaler = { namespace = "kube-system", name = "cluster-autoscaler" }
    cert-manager       = { namespace = "cert-manager", name = "cert-manager" }
    ebs-csi            = { namespace = "kube-system", name = "ebs-csi-controller-sa" }
  }

  validation {
    condition     = length(setsubtract(["edge", "external-secrets", "cluster-autoscaler", "cert-manager", "ebs-csi"], keys(var.service_accounts))) == 0
    error_message = "service_accounts wants all of edge, external-secrets, cluster-autoscaler, cert-manager and ebs-csi."
  }
}
