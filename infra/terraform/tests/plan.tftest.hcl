# What a plan would make, with mocked providers: `terraform test`.
mock_provider "prefect" {}
mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  bucket          = "models"
  prefect_api_url = "http://prefect-server:4200/api"
  prefect_auth    = "user:password"
  images          = { cpu = "registry/cpu-worker:1", gpu = "registry/gpu-worker:1" }
}

run "each_pool_has_its_image_and_only_gpu_a_limit" {
  command = plan
  variables {
    gpus = 4
  }

  assert {
    condition     = toset(keys(prefect_work_pool.this)) == toset(["cpu", "gpu"])
    error_message = "There is a pool for each machine."
  }

  assert {
    condition = alltrue([
      for pool, made in prefect_work_pool.this :
      jsondecode(made.base_job_template).variables.properties.image.default == var.images[pool]
    ])
    error_message = "A pool's runs have its own image."
  }

  assert {
    condition = alltrue([
      for pool, made in prefect_work_pool.this :
      jsondecode(made.base_job_template).job_configuration == local.templates[pool].job_configuration
    ])
    error_message = "But for the image the template is the one that bootstrap gives."
  }

  assert {
    condition     = prefect_work_pool.this["gpu"].concurrency_limit == 4
    error_message = "No more runs at once than GPUs."
  }

  assert {
    condition     = prefect_work_pool.this["cpu"].concurrency_limit == null
    error_message = "Queues bound the runs without a GPU."
  }
}

run "the_archive_is_written_once" {
  command = plan

  assert {
    condition = [
      for statement in data.aws_iam_policy_document.runs.statement : statement.sid
      if contains(statement.actions, "s3:DeleteObject")
    ] == ["Workspace"]
    error_message = "Only below the workspace may runs delete."
  }

  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.runs.statement :
      alltrue([for action in statement.actions : !strcontains(action, "*")])
    ])
    error_message = "Rights are named one by one."
  }

  assert {
    condition     = aws_s3_bucket.this.object_lock_enabled
    error_message = "Archived objects can be locked."
  }
}

run "addresses_are_those_that_workers_take" {
  command = plan

  assert {
    condition     = output.workspace == "s3://models/workspace" && output.archive == "s3://models/releases"
    error_message = "ROUNDHOUSE_WORKSPACE and ROUNDHOUSE_ARCHIVE have no slash at their end."
  }

  assert {
    condition     = length(aws_eks_pod_identity_association.runs) == 0
    error_message = "Without a cluster no account takes the role."
  }
}

run "a_cluster_takes_the_role" {
  command = plan
  variables {
    eks_cluster = "training"
  }

  assert {
    condition     = one(aws_eks_pod_identity_association.runs).cluster_name == "training"
    error_message = "The account of the runs takes the role."
  }
}
