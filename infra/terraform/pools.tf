# The same pools that `python -m infra.bootstrap --type kubernetes` makes; use one of the two.
locals {
  templates = {
    for pool in ["cpu", "gpu"] :
    pool => jsondecode(file("${path.module}/../pools/${pool}-kubernetes.json"))
  }
}

resource "prefect_work_pool" "this" {
  for_each          = local.templates
  name              = each.key
  type              = "kubernetes"
  concurrency_limit = each.key == "gpu" ? var.gpus : null

  base_job_template = jsonencode(merge(each.value, {
    variables = merge(each.value.variables, {
      properties = merge(each.value.variables.properties, {
        image = merge(each.value.variables.properties.image, { default = var.images[each.key] })
      })
    })
  }))
}
