"""Keep a release in S3: everything needed to verify it and to make it again."""
