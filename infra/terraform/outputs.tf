output "workspace" {
  description = "ROUNDHOUSE_WORKSPACE of all workers."
  value       = "s3://${aws_s3_bucket.this.bucket}/${trimsuffix(local.workspace, "/")}"
}

output "archive" {
  description = "ROUNDHOUSE_ARCHIVE of all workers."
  value       = "s3://${aws_s3_bucket.this.bucket}/${trimsuffix(local.archive, "/")}"
}

output "role" {
  description = "Role of the runs."
  value       = aws_iam_role.runs.arn
}
