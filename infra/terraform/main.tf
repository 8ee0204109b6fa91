# The bucket of a Roundhouse on AWS, the role of its runs, and the work pools.
#
# Never applied yet: `make check` validates it and plans it with mocked providers. The state holds no
# secrets; the API's password is ephemeral.

terraform {
  required_version = ">= 1.10"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
    prefect = {
      source  = "prefecthq/prefect"
      version = "~> 3.0"
    }
  }
}

provider "aws" {
  region = var.region
  default_tags {
    tags = { application = "roundhouse" }
  }
}

provider "prefect" {
  endpoint       = var.prefect_api_url
  basic_auth_key = var.prefect_auth
}
