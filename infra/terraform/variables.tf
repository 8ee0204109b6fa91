variable "region" {
  description = "AWS region of the bucket."
  type        = string
  default     = "us-east-1"
}

variable "bucket" {
  description = "Name of the bucket that holds archive and workspace; names are global."
  type        = string
}

variable "object_lock" {
  description = "Whether archived objects can be locked; a bucket is made with it or without."
  type        = bool
  default     = true
}

variable "archive_cold_days" {
  description = "Days after which archived weights go to Glacier Instant Retrieval."
  type        = number
  default     = 30
}

variable "prefect_api_url" {
  description = "Address of the Prefect server's API."
  type        = string
}

variable "prefect_auth" {
  description = "What the API asks for, user:password; as TF_VAR_prefect_auth, not in a file."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "images" {
  description = "Image of the runs of each pool, as pushed to your registry."
  type        = object({ cpu = string, gpu = string })
}

variable "gpus" {
  description = "Runs of the pool gpu at once, over all nodes."
  type        = number
  default     = 1
}

variable "eks_cluster" {
  description = "EKS cluster whose runs take the role; empty for none."
  type        = string
  default     = ""
}
