locals {
  archive   = "releases/"
  workspace = "workspace/"
}

# With object lock the archive's objects carry their own retention (ROUNDHOUSE_ARCHIVE_LOCK). The
# bucket has no default one, since leases of the workspace are given back by deleting them.
resource "aws_s3_bucket" "this" {
  bucket              = var.bucket
  object_lock_enabled = var.object_lock
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id
  versioning_configuration {
    status = "Enabled"
  }
}

# Objects below the workspace never expire by age: S3 does not know which are used. What
# `roundhouse prune` deletes leaves a version, which goes a day later.
resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket     = aws_s3_bucket.this.id
  depends_on = [aws_s3_bucket_versioning.this]

  rule {
    id     = "parts-of-uploads-that-died"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  rule {
    id     = "workspace-without-versions"
    status = "Enabled"
    filter {
      prefix = local.workspace
    }
    noncurrent_version_expiration {
      noncurrent_days = 1
    }
    expiration {
      expired_object_delete_marker = true
    }
  }

  rule {
    id     = "archived-weights-go-cold"
    status = "Enabled"
    filter {
      and {
        prefix                   = local.archive
        object_size_greater_than = 128 * 1024 * 1024
      }
    }
    transition {
      days          = var.archive_cold_days
      storage_class = "GLACIER_IR"
    }
  }
}
