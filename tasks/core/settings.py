"""What the machine's environment says: folders, endpoints, credentials.

Everything comes from environment variables; secrets are `SecretStr` and never reach a log. Names
that the field already has (`HF_ENDPOINT`, `HF_TOKEN`, `AWS_ACCESS_KEY_ID`, …) are used as they are.
"""

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """The settings of one process, read once from its environment."""

    model_config = SettingsConfigDict(env_prefix="ROUNDHOUSE_", frozen=True, populate_by_name=True)

    home: Path = Field(
        default=Path("var"), description="Where workspaces, logs and the embedded stack live."
    )
    workspace: str = Field(
        default="",
        pattern=r"^$|^s3://[^/]+/.+$",
        description="S3 prefix through which machines without a disk in common share finished "
        "stages, as in s3://bucket/workspace; the home is their cache then. Empty shares nothing.",
    )
    hub_endpoint: str = Field(
        default="",
        validation_alias=AliasChoices("hub_endpoint", "HF_ENDPOINT"),
        description="The Hub's address; empty for the public one.",
    )
    hub_token: SecretStr = Field(
        default=SecretStr(""),
        validation_alias=AliasChoices("hub_token", "HF_TOKEN"),
        description="Hub token: read for closed bases, write for the target.",
    )
    s3_endpoint: str = Field(
        default="",
        validation_alias=AliasChoices("s3_endpoint", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        description="The S3 server's address; empty for AWS.",
    )
    s3_region: str = Field(
        default="us-east-1",
        validation_alias=AliasChoices("s3_region", "AWS_REGION", "AWS_DEFAULT_REGION"),
        description="The bucket's region.",
    )
    s3_access_key: SecretStr = Field(
        default=SecretStr(""),
        validation_alias=AliasChoices("s3_access_key", "AWS_ACCESS_KEY_ID"),
        description="S3 access key; empty for the SDK's own credential chain.",
    )
    s3_secret_key: SecretStr = Field(
        default=SecretStr(""),
        validation_alias=AliasChoices("s3_secret_key", "AWS_SECRET_ACCESS_KEY"),
        description="S3 secret key.",
    )
    s3_part_bytes: int = Field(
        default=32 << 20,
        ge=5 << 20,
        le=5 << 30,
        description="Bytes of a part of a large object; S3 takes 10,000 parts at most.",
    )
    archive: str = Field(
        default="s3://artifacts/releases", description="Where releases are archived."
    )
    archive_storage_class: str = Field(
        default="",
        description="S3 storage class of archived weights, such as GLACIER_IR; empty for the "
        "bucket's own. Everything else is small and stays where it is read at once.",
    )
    archive_lock: Literal["", "GOVERNANCE", "COMPLIANCE"] = Field(
        default="",
        description="S3 object lock mode of archived objects; the bucket must have been made with "
        "object lock. Empty for none.",
    )
    archive_lock_days: int = Field(default=365, ge=1, description="How long the object lock holds.")
    signing_key: Path | None = Field(
        default=None,
        description="Path of the private key that signs releases: EC P-256, PEM. Its file is a "
        "secret.",
    )
    signing_key_password: SecretStr = Field(
        default=SecretStr(""), description="Password of the private key; empty for none."
    )
    verify_key: Path | None = Field(
        default=None,
        description="Path of the public key that releases are verified with, PEM; empty takes that "
        "of the private key.",
    )
    watch_list: Path | None = Field(
        default=None, description="The watch list, YAML; None takes watch.yaml in the home."
    )
    watch_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Secret of the Hub's webhook; without one no webhooks are taken.",
    )
    gpu_price: float = Field(
        default=0.0,
        ge=0,
        description="Price of an hour of a GPU worker, in the currency of your choice; 0: unknown.",
    )
    cpu_price: float = Field(
        default=0.0, ge=0, description="The same of a worker of the pool `cpu`."
    )
    prefect_auth: SecretStr = Field(
        default=SecretStr(""),
        validation_alias=AliasChoices("prefect_auth", "PREFECT_API_AUTH_STRING"),
        description="What Prefect's API asks for, `user:password`; Prefect reads it too.",
    )
    stack_auth: bool = Field(
        default=False,
        description="Whether the embedded stack's Prefect API asks for the password that "
        "`roundhouse up` makes; it listens on the loopback alone.",
    )
    private: bool = Field(
        default=True, description="Whether a target repository that is made is private."
    )
    serve_python: Path = Field(
        default=Path(".venv/serve/bin/python"),
        description="The Python of the serving environment (vLLM).",
    )
    serve_port: int = Field(
        default=0, ge=0, le=65535, description="vLLM's port; 0 takes a free one."
    )

    @property
    def watch_path(self) -> Path:
        """Where the watch list lies."""
        return self.watch_list or self.home / "watch.yaml"

    @property
    def hub_url(self) -> str:
        """The Hub's address for links that people follow."""
        return self.hub_endpoint.rstrip("/") or "https://huggingface.co"
