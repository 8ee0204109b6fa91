"""What `make check` asks Helm and Terraform themselves about infra/, without cluster or cloud."""
