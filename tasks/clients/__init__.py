"""The only rooms that talk to the Hub and to S3; their errors come out as ours."""
