data "aws_iam_policy_document" "runs" {
  statement {
    sid       = "List"
    resources = [aws_s3_bucket.this.arn]
    actions = [
      "s3:ListBucket",
      "s3:ListBucketMultipartUploads",
      "s3:GetBucketObjectLockConfiguration",
    ]
  }

  # The archive is written once: no right to delete.
  statement {
    sid       = "Archive"
    resources = ["${aws_s3_bucket.this.arn}/${local.archive}*"]
    actions = [
      "s3:GetObject",
      "s3:PutObject",
      "s3:PutObjectRetention",
      "s3:AbortMultipartUpload",
    ]
  }

  statement {
    sid = "Workspace"
    actions = [
      "s3:GetObject",
      "s3:PutObject",
      "s3:DeleteObject",
      "s3:AbortMultipartUpload",
    ]
    resources = ["${aws_s3_bucket.this.arn}/${local.workspace}*"]
  }
}

resource "aws_iam_policy" "runs" {
  name   = "roundhouse-runs"
  policy = data.aws_iam_policy_document.runs.json
}

data "aws_iam_policy_document" "pods" {
  statement {
    actions = ["sts:AssumeRole", "sts:TagSession"]
    principals {
      type        = "Service"
      identifiers = ["pods.eks.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "runs" {
  name               = "roundhouse-runs"
  assume_role_policy = data.aws_iam_policy_document.pods.json
}

resource "aws_iam_role_policy_attachment" "runs" {
  role       = aws_iam_role.runs.name
  policy_arn = aws_iam_policy.runs.arn
}

resource "aws_eks_pod_identity_association" "runs" {
  count           = var.eks_cluster == "" ? 0 : 1
  cluster_name    = var.eks_cluster
  namespace       = "roundhouse"
  service_account = "roundhouse-run"
  role_arn        = aws_iam_role.runs.arn
}
