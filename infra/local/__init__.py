"""The embedded stack: Prefect server, S3, Hub stand-in, workers, the small base model."""
