"""What the base's own card says that a release of it must repeat."""

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from tasks.core.plain_yaml import load_plain
from tasks.core.records import DownloadRecord

FRONT = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)


class BaseCard(BaseModel):
    """Keys copied from the base; None where its card has none."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    language: list[str] | None = None
    pipeline_tag: str | None = None

    @field_validator("language", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


def read_base_card(download: DownloadRecord) -> BaseCard:
    """The base's card; one that is missing or cannot be read says nothing."""
    path = Path(download.folder) / "README.md"
    front = FRONT.match(path.read_text(errors="replace")) if path.is_file() else None
    if front is None:
        return BaseCard()
    try:
        return BaseCard.model_validate(load_plain(front[1]) or {})
    except ValueError:  # pydantic's own among them
        return BaseCard()
